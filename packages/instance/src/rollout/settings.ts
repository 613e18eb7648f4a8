import type { Rollout, setRolloutSchema } from '@fumehood/protocol';
import { sql } from 'kysely';
import type * as z from 'zod';
import type { Db } from '../db/connect.ts';
import { reconcilerTopic } from '../db/topics.ts';
import { wake } from '../db/transaction.ts';
import { rolloutNotFound } from './errors.ts';

/** Has the changesets that wait for their turn looked at again, but those that are being claimed: their claims wait for the settings. */
const waiting = sql`
  update changesets set process_after = clock_timestamp()
  where id in (select id from changesets where reconciler = 'queued' and process_after > clock_timestamp() for update skip locked)
`;

const record = sql`windows, set_by as "setBy", iso(set_at) as "setAt"`;

/** Returns when and how fast changesets are changed on code hosts. Errors: `rollout_not_found`. */
export async function readRollout(db: Db): Promise<Rollout> {
  const { rows } = await sql<Rollout>`select ${record} from batch_rollout`.execute(db);
  if (!rows[0]) throw rolloutNotFound();
  return rows[0];
}

/** Sets when and how fast changesets are changed on code hosts. Those that wait for a time of before are looked at again. */
export async function setRollout(
  db: Db,
  { windows }: z.output<typeof setRolloutSchema>,
  setBy: string,
): Promise<Rollout> {
  const { rows } = await sql<Rollout>`
    with waiting as (${waiting})
    insert into batch_rollout (windows, set_by) values (${windows === null ? null : JSON.stringify(windows)}::jsonb, ${setBy})
    on conflict (only_row) do update
      set windows = excluded.windows, set_by = excluded.set_by, set_at = clock_timestamp(), next_at = clock_timestamp()
    returning ${record}
  `.execute(db);
  wake(db, reconcilerTopic);
  return rows[0] as Rollout;
}

/** Removes what was set: changesets are changed at once. Errors: `rollout_not_found`. */
export async function removeRollout(db: Db): Promise<void> {
  const { rows } = await sql`
    with waiting as (${waiting})
    delete from batch_rollout returning 1
  `.execute(db);
  if (rows.length === 0) throw rolloutNotFound();
  wake(db, reconcilerTopic);
}
