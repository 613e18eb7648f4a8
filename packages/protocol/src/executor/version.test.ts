import { expect, test } from 'vitest';
import { payloadVersion } from './version.ts';

test.each<[string, 1 | 2 | null]>([
  ['', 1],
  ['dev', 2],
  ['0.0.0+dev', 2],
  ['4.2.9', 1],
  ['4.3.0-0', 2],
  ['4.3.0-rc.1', 2],
  ['4.3.0', 2],
  ['v5.2', 2],
  ['6', 2],
  ['3.43.2', 1],
  ['186180_2022-11-23_4.2-0123456abcdef', 1],
  ['186180_2022-11-24_4.2-0123456abcdef', 2],
  ['300000_2026-03-01_abcdef1', 2],
  ['300000_2026-03-01_6.0-abcdef1234_patch', 2],
  ['\n4.3.0', null],
  ['4.3.0.1', null],
  ['latest', null],
])('an executor of version %j gets payload %s', (version, expected) => {
  expect(payloadVersion(version)).toBe(expected);
});
