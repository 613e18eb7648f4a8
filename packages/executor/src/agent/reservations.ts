import { vmmMemoryMiB } from '@fumehood/microvm';
import type { Resources } from '../uplink/queue.ts';

/** The smallest offer that the executor makes. A job asks for at least this much (`createJobSchema`). */
export const smallest: Resources = { cpus: 1, memoryMiB: 128, scratchMiB: 64 };

/** Returns resources that fit into both. */
export function smallerOf(one: Resources, other: Resources): Resources {
  return {
    cpus: Math.min(one.cpus, other.cpus),
    memoryMiB: Math.min(one.memoryMiB, other.memoryMiB),
    scratchMiB: Math.min(one.scratchMiB, other.scratchMiB),
  };
}

/** The resources of this executor. A job's part is reserved before its VM starts (docs/invariants.md, 9). */
export interface Reservations {
  /** The resources of the largest job that can run when nothing else runs. */
  readonly total: Resources;
  /** Returns the resources of the largest job that can run now, or null when less than `smallest` is free. */
  free(): Resources | null;
  /** Reserves the resources of a job and of its VMM. Returns a function that frees them. */
  reserve(resources: Resources): () => void;
}

/** Opens the reservations of an executor whose jobs, with their VMMs, may use `total`. */
export function openReservations(total: Resources): Reservations {
  const left = { ...total };
  const forOneJob = (resources: Resources): Resources => ({
    ...resources,
    memoryMiB: resources.memoryMiB - vmmMemoryMiB,
  });
  return {
    total: forOneJob(total),
    free() {
      const free = forOneJob(left);
      const names = Object.keys(smallest) as (keyof Resources)[];
      return names.every((name) => free[name] >= smallest[name]) ? free : null;
    },
    reserve({ cpus, memoryMiB, scratchMiB }) {
      const change = (sign: 1 | -1) => {
        left.cpus += sign * cpus;
        left.memoryMiB += sign * (memoryMiB + vmmMemoryMiB);
        left.scratchMiB += sign * scratchMiB;
      };
      change(-1);
      let freed = false;
      return () => {
        if (!freed) change(1);
        freed = true;
      };
    },
  };
}
