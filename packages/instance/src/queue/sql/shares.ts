import { sql } from 'kysely';
import type { Db } from '../../db/connect.ts';

/** Leases that are not counted yet, by database and share; what comes while some are being counted goes with the next. */
const counting = new WeakMap<Db, Map<number, number>>();

/**
 * Counts a lease for its share, some moments after it: a lease does not wait for the share's row, which all leases of a tenant
 * have in common. A count that a crash loses costs others one turn.
 */
export function countLease(db: Db, shareId: number): void {
  const waiting = counting.get(db);
  if (waiting) {
    waiting.set(shareId, (waiting.get(shareId) ?? 0) + 1);
    return;
  }
  void count(db, new Map([[shareId, 1]]));
}

/** What is leased within this time of the last count is counted together. */
const gatherMs = 10;

async function count(db: Db, leases: ReadonlyMap<number, number>): Promise<void> {
  const next = new Map<number, number>();
  counting.set(db, next);
  await sql`
    update shares set pass = pass + leased.count / weight
    from (select set_config('synchronous_commit', 'off', true)) as unsynced,
      unnest(${[...leases.keys()]}::bigint[], ${[...leases.values()]}::int[]) as leased (share_id, count)
    where id = leased.share_id
  `
    .execute(db)
    .catch(() => {});
  setTimeout(() => {
    if (next.size > 0) void count(db, next);
    else counting.delete(db);
  }, gatherMs).unref();
}
