import type { DeliveryResult } from '@fumehood/protocol';
import { sql } from 'kysely';
import { subjectsOf } from '../code-hosts/subjects.ts';
import { wakeChangesets } from '../code-hosts/sync-records.ts';
import type { Db } from '../db/connect.ts';
import { transaction } from '../db/transaction.ts';
import { changesRefs, type Delivery, digestOf } from './delivery.ts';
import { deliveryRepeated } from './errors.ts';
import { requestSync } from './records.ts';

/** How long, and how many of each repository, deliveries are remembered. */
const rememberedDays = 30;
const rememberedMax = 1_000;

/**
 * Remembers a delivery whose signature is valid, and has its repository synced if its event says that a branch or a tag changed, or else the
 * states of those changesets read that its body is about: all or nothing. Errors: `delivery_repeated`.
 */
export async function acceptDelivery(
  db: Db,
  repository: string,
  delivery: Delivery,
  body: Buffer,
): Promise<DeliveryResult> {
  return await transaction(db, async (tx) => {
    const result = await resultOf(tx, repository, delivery, body);
    const { sender, event, id } = delivery;
    const { rows } = await sql`
      insert into webhook_deliveries (repository_id, sha256, sender, event, delivery, result)
      select id, ${digestOf(delivery, body)}, ${sender}, ${event}, ${id}, ${result} from repositories where name = ${repository}
      on conflict (repository_id, sha256) do nothing returning 1
    `.execute(tx);
    if (rows.length === 0) throw deliveryRepeated(repository);
    return result;
  });
}

async function resultOf(
  tx: Db,
  repository: string,
  delivery: Delivery,
  body: Buffer,
): Promise<DeliveryResult> {
  if (!changesRefs(delivery))
    return (await wakeChangesets(tx, repository, subjectsOf(body))) > 0 ? 'changesets' : 'ignored';
  await requestSync(tx, repository);
  return 'sync';
}

/** Forgets the deliveries that are too old, and the oldest ones of a repository that has had too many. */
export async function forgetDeliveries(db: Db): Promise<void> {
  await sql`
    delete from webhook_deliveries using (
      select repository_id, sha256, row_number() over (partition by repository_id order by received_at desc) as place
      from webhook_deliveries
    ) as newest
    where webhook_deliveries.repository_id = newest.repository_id and webhook_deliveries.sha256 = newest.sha256
      and (place > ${rememberedMax} or received_at < clock_timestamp() - make_interval(days => ${rememberedDays}))
  `.execute(db);
}
