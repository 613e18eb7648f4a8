import { describe, expect, it } from 'vitest';
import { openReservations } from './reservations.ts';

describe('reservations', () => {
  it('count the resources of a job and of its VMM, and free them once', () => {
    const reservations = openReservations({ cpus: 2, memoryMiB: 2048, scratchMiB: 8192 });
    expect(reservations.free()).toEqual({ cpus: 2, memoryMiB: 1664, scratchMiB: 8192 });
    const release = reservations.reserve({ cpus: 1, memoryMiB: 1024, scratchMiB: 4096 });
    expect(reservations.free()).toEqual({ cpus: 1, memoryMiB: 256, scratchMiB: 4096 });
    release();
    release();
    expect(reservations.free()?.memoryMiB).toBe(1664);
  });

  it('offer nothing when less is free than the smallest job needs', () => {
    const reservations = openReservations({ cpus: 1, memoryMiB: 2048, scratchMiB: 8192 });
    const release = reservations.reserve({ cpus: 1, memoryMiB: 256, scratchMiB: 256 });
    expect(reservations.free()).toBeNull();
    release();
    expect(openReservations({ cpus: 1, memoryMiB: 500, scratchMiB: 8192 }).free()).toBeNull();
  });
});
