import { vmmMemoryMiB } from '@fumehood/microvm';
import type { NativeJob } from '@fumehood/protocol';
import type { Room } from '../uplink/queue.ts';

/** The smallest offer that the executor makes. A job asks for at least this much (`createJobSchema`). */
export const smallest: Room = { cpus: 1, memoryMiB: 128, scratchMiB: 64 };

/** What jobs may use, reserved before they are leased: a job that does not fit is not leased (design invariant 9). */
export interface Reservations {
  /** What the largest job may ask for when nothing else runs. */
  readonly total: Room;
  /** What the largest job that fits now may ask for, or null when none does. */
  free(): Room | null;
  /** Takes a job's part; the returned function gives it back. */
  reserve(resources: NativeJob['resources']): () => void;
}

export function openReservations(total: Room): Reservations {
  const left = { ...total };
  const forJobs = (all: Room): Room => ({ ...all, memoryMiB: all.memoryMiB - vmmMemoryMiB });
  return {
    total: forJobs(total),
    free() {
      const room = forJobs(left);
      const fits = (Object.keys(smallest) as (keyof Room)[]).every((name) => room[name] >= smallest[name]);
      return fits ? room : null;
    },
    reserve({ cpus, memoryMiB, scratchMiB }) {
      const move = (sign: 1 | -1) => {
        left.cpus += sign * cpus;
        left.memoryMiB += sign * (memoryMiB + vmmMemoryMiB);
        left.scratchMiB += sign * scratchMiB;
      };
      move(-1);
      let given = false;
      return () => {
        if (!given) move(1);
        given = true;
      };
    },
  };
}
