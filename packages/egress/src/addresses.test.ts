import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { isPublicAddress } from './addresses.ts';

it.each(['1.1.1.1', '172.15.255.255', '100.128.0.0', '169.253.255.255', '2600:1f18::1', '2a00::1'])(
  '%s is public',
  (address) => expect(isPublicAddress(address)).toBe(true),
);

it.each([
  // This machine, its network, and what a provider has between it and the internet.
  ...['0.0.0.0', '0.0.0.1', '127.0.0.1', '10.0.0.1', '172.31.255.255', '192.168.0.1', '100.64.0.1'],
  ...['169.254.169.254', '192.0.0.192', '198.18.0.1', '::', '::1', 'fc00::1', 'fd00:ec2::254', 'fe80::1'],
  // For many, for examples, and reserved.
  ...['224.0.0.1', '240.0.0.1', '255.255.255.255', '192.0.2.1', '198.51.100.1', '203.0.113.1', 'ff02::1'],
  ...['2001:db8::1', '3fff::1', '100::1', '200::1', '4000::1', 'e000::1', '::2'],
  // Forms of IPv6 that carry an IPv4 address.
  ...['::ffff:127.0.0.1', '::ffff:1.1.1.1', '::7f00:1', '64:ff9b::7f00:1', '64:ff9b:1::7f00:1'],
  ...['2002:7f00:1::', '2001::1', '2001:0:7f00:1::', '192.88.99.1'],
  ...['2001:1::1', '2001:2::1', '2001:20::1', '2001:30::1', '2001:4:112::1'],
  // Other spellings, and no address at all.
  ...[
    '127.1',
    '0x7f.1',
    '0177.0.0.1',
    '2130706433',
    '1',
    '1.1.1.1 ',
    '01.1.1.1',
    '2600::1%eth0',
    'a name',
    '',
  ],
])('%s is not public', (address) => expect(isPublicAddress(address)).toBe(false));

it('no address that carries an IPv4 address is public', () => {
  const prefixes = ['::', '::ffff:', '64:ff9b::', '::ffff:0:'];
  fc.assert(
    fc.property(fc.constantFrom(...prefixes), fc.ipV4(), (prefix, address) => {
      expect(isPublicAddress(`${prefix}${address}`)).toBe(false);
    }),
  );
});
