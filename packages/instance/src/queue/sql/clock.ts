import { sql } from 'kysely';
import type { Db } from '../../db/connect.ts';
import { pauseBefore } from './transitions.ts';

/**
 * Corrects what lies further ahead than it can, after the database's clock was set back. Waiting jobs would otherwise not start, and
 * leases of dead executors not end, until the clock has caught up. No lease becomes shorter than a whole one from now, jobs keep their
 * order, and a time that somebody asked for (`processAfter`) stays.
 */
export async function followClockBack(db: Db): Promise<void> {
  await sql`
    update jobs set lease_expires_at = clock_timestamp() + make_interval(secs => lease_ms / 1000.0)
    where state = 'processing' and lease_expires_at > clock_timestamp() + make_interval(secs => lease_ms / 1000.0)
  `.execute(db);
  await sql`
    update jobs set process_after = clock_timestamp() + ${pauseBefore(sql`retries - 1`)}
    where state = 'errored' and process_after > clock_timestamp() + ${pauseBefore(sql`retries - 1`)}
  `.execute(db);
  // Equal ranks are served in the order of their ids.
  await sql`
    update jobs set rank_at = greatest(statement_timestamp(), process_after) - make_interval(mins => priority)
    where state in ('queued', 'errored')
      and rank_at > greatest(statement_timestamp(), process_after) - make_interval(mins => priority)
  `.execute(db);
}
