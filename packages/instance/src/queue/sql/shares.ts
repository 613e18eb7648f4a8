import { sql } from 'kysely';
import { gathered } from '../../db/gather.ts';

/**
 * Counts a lease for its share, some moments after it: a lease does not wait for the share's row, which all leases of a tenant
 * have in common. A count that a crash loses costs others one turn.
 */
export const countLease = gathered<number>((db, leases) =>
  sql`
    update shares set pass = pass + leased.count / weight
    from (select set_config('synchronous_commit', 'off', true)) as unsynced,
      unnest(${[...leases.keys()]}::bigint[], ${[...leases.values()]}::int[]) as leased (share_id, count)
    where id = leased.share_id
  `.execute(db),
);
