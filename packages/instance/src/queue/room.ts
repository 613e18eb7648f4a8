import type { Db } from '../db/connect.ts';
import { countWaiting } from './sql/jobs.ts';

/** A count is used for this long, milliseconds. */
const validMs = 1_000;
/** A count admits this part of the room that it found. Other replicas use some of the room, too. */
const usableShare = 1 / 8;

/** The last count of a tenant's waiting jobs: how many more it admits, and until when. */
interface Count {
  readonly until: number;
  left: number;
}

const counts = new WeakMap<Db, Map<string, Count>>();

/**
 * Checks whether a tenant may queue one more job. Near the bound the waiting jobs are counted for each new job; far from it a
 * count is reused for a second.
 */
export async function hasRoom(db: Db, tenant: string, bound: number): Promise<boolean> {
  const known = counts.get(db) ?? new Map<string, Count>();
  counts.set(db, known);
  const last = known.get(tenant);
  if (last && last.left > 0 && performance.now() < last.until) {
    last.left -= 1;
    return true;
  }
  const room = bound - (await countWaiting(db, tenant, bound));
  if (known.size > 1_000) known.clear(); // bounds the memory; the next job of a tenant counts again
  known.set(tenant, { until: performance.now() + validMs, left: Math.floor(room * usableShare) });
  return room > 0;
}
