import { expect, it } from 'vitest';
import { counted } from './counted.ts';

it.each([
  [0, '0 files'],
  [1, '1 file'],
  [2, '2 files'],
])('%i of something is %s', (count, text) => {
  expect(counted(count, 'file')).toBe(text);
});

it('a plural that does not end with an s alone is given', () => {
  expect([counted(1, 'branch', 'branches'), counted(3, 'branch', 'branches')]).toEqual([
    '1 branch',
    '3 branches',
  ]);
});
