import type { BatchSettings, setBatchSettingsSchema } from '@fumehood/protocol';
import { sql } from 'kysely';
import type * as z from 'zod';
import type { Db } from '../db/connect.ts';
import { requireBroker } from '../secrets/broker.ts';

const record = sql`options, helper_image as "helperImage", set_by as "setBy", iso(set_at) as "setAt"`;

/** Returns what an admin has set for all batch specs. */
export async function readBatchSettings(db: Db): Promise<BatchSettings> {
  const { rows } = await sql<BatchSettings>`select ${record} from batch_settings`.execute(db);
  return rows[0] ?? { options: {}, helperImage: null, setBy: null, setAt: null };
}

/** Sets what the jobs of batch specs get, in place of earlier settings. `setBy`: the name of the user. Errors: `broker_not_found`. */
export async function setBatchSettings(
  db: Db,
  { helperImage, ...options }: z.output<typeof setBatchSettingsSchema>,
  setBy: string,
): Promise<BatchSettings> {
  // The settings are for every repository, so an entry that is for some of them would make jobs of others fail.
  await requireBroker(db, { queue: 'batches', repository: '' }, options.broker ?? []);
  const { rows } = await sql<BatchSettings>`
    insert into batch_settings (options, helper_image, set_by) values (${JSON.stringify(options)}::jsonb, ${helperImage}, ${setBy})
    on conflict (only_row) do update set options = excluded.options, helper_image = excluded.helper_image, set_by = excluded.set_by, set_at = clock_timestamp()
    returning ${record}
  `.execute(db);
  return rows[0] as BatchSettings;
}

/** Removes what was set: jobs get what those of other queues get, and no network. */
export async function removeBatchSettings(db: Db): Promise<void> {
  await sql`delete from batch_settings`.execute(db);
}
