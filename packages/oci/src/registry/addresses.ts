import { BlockList, isIP } from 'node:net';

/** Returns a list of networks, each given as `address/bits`, separated by blanks. */
function networks(text: string, family: 'ipv4' | 'ipv6'): BlockList {
  const list = new BlockList();
  for (const network of text.split(/\s+/)) {
    const [address, bits] = network.split('/') as [string, string];
    list.addSubnet(address, Number(bits), family);
  }
  return list;
}

// Special-purpose addresses in IANA's registries, and multicast.
const special4 = networks(
  `0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 192.88.99.0/24
   192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4`,
  'ipv4',
);
const global6 = networks('2000::/3', 'ipv6');
// Parts of it that are not public: protocols that carry an IPv4 address, and documentation.
const special6 = networks('2001::/23 2001:db8::/32 2002::/16 3fff::/20', 'ipv6');

/** Returns whether an address is on the public internet: not on this machine, in its network, or a cloud's metadata service. */
export function isPublic(address: string): boolean {
  if (isIP(address) === 4) return !special4.check(address, 'ipv4');
  return isIP(address) === 6 && global6.check(address, 'ipv6') && !special6.check(address, 'ipv6');
}
