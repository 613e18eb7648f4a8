import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';

/** 2000::/3 is all that IANA has allocated as global unicast (RFC 4291, 2.4). `ipaddr.js` calls the rest of IPv6 `unicast`, too. */
const globalUnicast = ipaddr.IPv6.parseCIDR('2000::/3');

/**
 * Returns whether an address is on the public internet: not on this machine, in its network, or a cloud's metadata service. Only the usual
 * spellings are addresses: no `127.1`, no `0x7f.0.0.1`, no scope as in `fe80::1%eth0`. An IPv6 address that carries an IPv4 address is never
 * public, whichever it carries.
 */
export function isPublicAddress(text: string): boolean {
  if (isIP(text) === 0 || text.includes('%')) return false;
  const address = ipaddr.parse(text);
  if (address.range() !== 'unicast') return false;
  return address.kind() === 'ipv4' || (address as ipaddr.IPv6).match(globalUnicast);
}
