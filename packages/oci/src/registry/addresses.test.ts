import { expect, it } from 'vitest';
import { isPublic } from './addresses.ts';

it.each(['1.1.1.1', '172.15.255.255', '100.128.0.0', '169.253.255.255', '2600:1f18::1', '2a00::1'])(
  '%s is public',
  (address) => expect(isPublic(address)).toBe(true),
);

it.each([
  ...['0.0.0.0', '10.0.0.1', '100.64.0.1', '127.0.0.1', '169.254.169.254', '172.31.255.255', '192.168.0.1'],
  ...['198.18.0.1', '224.0.0.1', '255.255.255.255', '::', '::1', '::ffff:127.0.0.1', '::ffff:1.1.1.1'],
  ...[
    '64:ff9b::7f00:1',
    '2002:7f00:1::',
    '2001::1',
    'fc00::1',
    'fd00:ec2::254',
    'fe80::1',
    'ff02::1',
    'a name',
    '',
  ],
])('%s is not public', (address) => expect(isPublic(address)).toBe(false));
