import { expect, it } from 'vitest';
import { guestKernel } from './guest.ts';

it('takes the kernel of guests from the environment, by an absolute path', () => {
  expect(guestKernel({})).toBeUndefined();
  expect(guestKernel({ FUMEHOOD_GUEST_KERNEL: '/boot/vmlinux' })).toBe('/boot/vmlinux');
  for (const FUMEHOOD_GUEST_KERNEL of ['vmlinux', ''])
    expect(() => guestKernel({ FUMEHOOD_GUEST_KERNEL })).toThrow('FUMEHOOD_GUEST_KERNEL is');
});
