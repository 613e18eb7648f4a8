import type { Db } from '../db/connect.ts';
import { countWaiting } from './sql/jobs.ts';

/** A count is good for this long, and for that part of the room that it found: other processes use some of it, too. */
const goodMs = 1_000;
const goodShare = 1 / 8;

interface Counted {
  readonly until: number;
  left: number;
}

const counts = new WeakMap<Db, Map<string, Counted>>();

/**
 * Whether a tenant may queue one more job. The bound is held to the job when it is near; far from it, jobs are not counted for
 * each one that comes.
 */
export async function hasRoom(db: Db, tenant: string, bound: number): Promise<boolean> {
  const known = counts.get(db) ?? new Map<string, Counted>();
  counts.set(db, known);
  const last = known.get(tenant);
  if (last && last.left > 0 && performance.now() < last.until) {
    last.left -= 1;
    return true;
  }
  const room = bound - (await countWaiting(db, tenant, bound));
  if (known.size > 1_000) known.clear(); // who comes back is counted
  known.set(tenant, { until: performance.now() + goodMs, left: Math.floor(room * goodShare) });
  return room > 0;
}
