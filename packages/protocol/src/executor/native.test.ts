import { describe, expect, test } from 'vitest';
import { commonVersion } from './native.ts';

describe('the version that two sides speak', () => {
  test.each([
    [1, '1', 1],
    [2, '1', 1],
    [1, '2', 1],
    [2, '2', 2],
    [2, '3', 2],
    [3, '2', 2],
  ])('of %d and %s is %d, the lower', (own, header, version) => {
    expect(commonVersion(header, own)).toBe(version);
  });

  test.each([
    [1, '3'],
    [3, '1'],
    [2, '4'],
    [2, '999999999'],
  ])('of %d and %s is none: they are more than one apart', (own, header) => {
    expect(commonVersion(header, own)).toBeNull();
  });

  test.each(['', '0', '-1', '2.0', '2, 2', ' 2', 'two', '1e0', '0x2', '02'])(
    'is none when the other side sends %j',
    (header) => {
      expect(commonVersion(header, 2)).toBeNull();
      expect(commonVersion(header, 1)).toBeNull();
    },
  );

  test("is upstream's when the other side sends no header", () => {
    expect([commonVersion(null, 2), commonVersion(undefined, 7)]).toEqual([0, 0]);
  });
});
