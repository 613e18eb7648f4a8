import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';

/** 2000::/3 is all that IANA has allocated as global unicast (RFC 4291, 2.4). `ipaddr.js` calls the rest of IPv6 `unicast`, too. */
const globalUnicast = ipaddr.IPv6.parseCIDR('2000::/3');

/**
 * Services of clouds for their own machines, at addresses that are not link-local: Azure's is even in a public range, that of Alibaba is in the
 * range of carriers, and AWS and Google have one in IPv6's private range.
 */
const cloudServices: ReadonlySet<string> = new Set([
  '168.63.129.16',
  '100.100.100.200',
  'fd00:ec2::254',
  'fd20:ce::254',
]);

/** What an operator may open, besides the public internet: private networks (RFC 1918, 6598, 4193), and what is for documentation (RFC 5737, 3849). */
const privateRanges: ReadonlySet<string> = new Set(['private', 'carrierGradeNat', 'uniqueLocal']);
const documentation = ['192.0.2.0/24', '198.51.100.0/24', '203.0.113.0/24', '2001:db8::/32'].map((range) =>
  ipaddr.parseCIDR(range),
);

/**
 * Returns whether an address is on the public internet: not on this machine, in its network, or a cloud's metadata service. Only the usual
 * spellings are addresses: no `127.1`, no `0x7f.0.0.1`, no scope as in `fe80::1%eth0`. An IPv6 address that carries an IPv4 address is never
 * public, whichever it carries.
 */
export function isPublicAddress(text: string): boolean {
  const address = parse(text);
  if (address?.range() !== 'unicast') return false;
  return address.kind() === 'ipv4' || (address as ipaddr.IPv6).match(globalUnicast);
}

/** Returns whether an operator may open a host that has this address: it is public, or in a private network, and no service of a cloud. */
export function isOpenable(text: string): boolean {
  if (isPublicAddress(text)) return true;
  const address = parse(text);
  return (
    address !== null &&
    (privateRanges.has(address.range()) ||
      documentation.some((range) => range[0].kind() === address.kind() && address.match(range)))
  );
}

/** Returns an address in its usual spelling; null for what is none, and for a service of a cloud. */
function parse(text: string): ipaddr.IPv4 | ipaddr.IPv6 | null {
  if (isIP(text) === 0 || text.includes('%')) return null;
  const address = ipaddr.parse(text);
  return cloudServices.has(address.toString()) ? null : address;
}
