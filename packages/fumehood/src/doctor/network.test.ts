import { expect, it } from 'vitest';
import { networkFinding } from './doctor.ts';

it('a machine on which no guest can have a network says why, and what its jobs do meanwhile', () => {
  expect(networkFinding(null)).toEqual({
    check: 'network of guests',
    ok: true,
    detail: 'a guest can have one',
  });
  expect(networkFinding('it needs /dev/net/tun')).toMatchObject({
    ok: false,
    detail: 'no guest can have one: it needs /dev/net/tun',
    remedy: expect.stringContaining('wait for another executor') as string,
  });
});
