import { describe, expect, it } from 'vitest';
import { openReservations } from './reservations.ts';

describe('reservations', () => {
  it("count a job's part and its VMM's, and give it back once", () => {
    const room = openReservations({ cpus: 2, memoryMiB: 2048, scratchMiB: 8192 });
    expect(room.free()).toEqual({ cpus: 2, memoryMiB: 1664, scratchMiB: 8192 });
    const release = room.reserve({ cpus: 1, memoryMiB: 1024, scratchMiB: 4096 });
    expect(room.free()).toEqual({ cpus: 1, memoryMiB: 256, scratchMiB: 4096 });
    release();
    release();
    expect(room.free()?.memoryMiB).toBe(1664);
  });

  it('offer nothing when no job would fit', () => {
    const room = openReservations({ cpus: 1, memoryMiB: 2048, scratchMiB: 8192 });
    const release = room.reserve({ cpus: 1, memoryMiB: 256, scratchMiB: 256 });
    expect(room.free()).toBeNull();
    release();
    expect(openReservations({ cpus: 1, memoryMiB: 500, scratchMiB: 8192 }).free()).toBeNull();
  });
});
