import { vmmMemoryMiB } from '@fumehood/microvm';
import { expect, test } from 'vitest';
import { smallest } from '../agent/reservations.ts';
import { heapMiB } from './make-disk.ts';

test('a disk maker fits into the memory that is reserved for the VM of its job', () => {
  for (const memoryMiB of [smallest.memoryMiB, 512, 4096, 65_536]) {
    expect(heapMiB(memoryMiB)).toBeLessThanOrEqual(memoryMiB + vmmMemoryMiB - 256);
    expect(heapMiB(memoryMiB)).toBeGreaterThanOrEqual(256);
  }
});
