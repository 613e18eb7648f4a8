import type { RolloutWindow, Waves } from '@fumehood/protocol';
import { sql } from 'kysely';
import type { Db } from '../db/connect.ts';
import { reconcilerTopic } from '../db/topics.ts';
import { wake } from '../db/transaction.ts';
import { decideWave, type WaveMember } from './waves.ts';
import { nextTurn } from './windows.ts';

/** How long a changeset waits before it is looked at again, if nothing else says when, milliseconds. */
const waitMs = 60_000;

/** A changeset that is to be changed on its code host. */
interface Turned {
  readonly id: number;
  readonly batchChangeId: number;
  /** Whether it is published by this. */
  readonly publishes: boolean;
}

/**
 * Takes the turn of a changeset. Returns null if it may be changed now, and else when to ask again, milliseconds since 1970. `tx`: the
 * transaction that claims the changeset, because the turn is taken if and only if the claim is. The waves of a batch change, and the
 * times and rates of all changesets, are decided for one changeset at a time.
 */
export async function takeTurn(tx: Db, changeset: Turned, now: number): Promise<number | null> {
  const ofWaves = changeset.publishes ? await turnInWaves(tx, changeset, now) : null;
  return ofWaves ?? (await turnInWindows(tx, now));
}

async function turnInWaves(tx: Db, { id, batchChangeId }: Turned, now: number): Promise<number | null> {
  await lockWaves(tx, batchChangeId);
  const { rows } = await sql<{ waves: Waves | null; stopped: boolean; resumedAt: number | null }>`
    select waves, waves_stopped is not null as stopped, (extract(epoch from waves_resumed_at) * 1000)::bigint as "resumedAt"
    from batch_changes where id = ${batchChangeId}
  `.execute(tx);
  const { waves = null, stopped = false, resumedAt = null } = rows[0] ?? {};
  if (waves === null) return null;
  if (stopped) return now + waitMs;
  const { rows: members } = await sql<WaveMember>`
    select (extract(epoch from published_at) * 1000)::bigint as "publishedAt",
      publication = 'pushed' and reconciler = 'completed' as "isBranchAlone",
      external_state as state, checks
    from changesets
    where batch_change_id = ${batchChangeId} and id <> ${id} and detached_at is null and archived_at is null
      and (published_at is not null or (reconciler = 'processing' and publication = 'unpublished'))
  `.execute(tx);
  const decision = decideWave(waves, members, resumedAt, now);
  if (decision.kind === 'go') return null;
  // Whoever changes the batch change now may wait for this claim: the next look stops the waves then.
  if (decision.kind === 'stop')
    await sql`
      update batch_changes set waves_stopped = ${decision.why}, updated_at = clock_timestamp()
      where id in (select id from batch_changes where id = ${batchChangeId} for update skip locked)
    `.execute(tx);
  return decision.kind === 'wait' && decision.until !== null ? decision.until : now + waitMs;
}

/**
 * Waits until nobody else decides about the waves of a batch change, to the end of the transaction. A lock of its own, because claims hold
 * changesets, and users who hold the row of the batch change wait for these.
 */
async function lockWaves(tx: Db, batchChangeId: number): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${`waves ${batchChangeId}`}, 0))`.execute(tx);
}

async function turnInWindows(tx: Db, now: number): Promise<number | null> {
  const { rows } = await sql<{ windows: RolloutWindow[] | null; nextAt: number }>`
    select windows, (extract(epoch from next_at) * 1000)::bigint as "nextAt" from batch_rollout for update
  `.execute(tx);
  if (!rows[0]) return null;
  const { windows, nextAt } = rows[0];
  const turn = nextTurn(windows, nextAt, now);
  if (turn === null) return now + waitMs;
  if (turn.at > now) return turn.at;
  await sql`update batch_rollout set next_at = to_timestamp(${(now + turn.pace) / 1_000}::double precision)`.execute(
    tx,
  );
  return null;
}

/** Lets the waves of a batch change go on after they had stopped. */
export async function resumeWaves(tx: Db, batchChangeId: number): Promise<void> {
  await sql`
    update batch_changes set waves_stopped = null, waves_resumed_at = clock_timestamp(), updated_at = clock_timestamp()
    where id = ${batchChangeId} and waves_stopped is not null
  `.execute(tx);
  // A claim that has seen the waves stopped has ended then, and its changeset is looked at again.
  await lockWaves(tx, batchChangeId);
  await wakeWaiting(tx, batchChangeId);
}

/**
 * Has the changesets looked at again at once that wait for the waves of a batch change, because one of its others has changed; but none that is
 * being claimed: its claim holds it while it waits for others to decide about the waves, and this must not wait for it.
 */
export async function wakeWaiting(tx: Db, batchChangeId: number): Promise<void> {
  await sql`
    update changesets set process_after = clock_timestamp()
    where id in (
      select id from changesets
      where batch_change_id = ${batchChangeId} and reconciler = 'queued' and publication = 'unpublished' and process_after > clock_timestamp()
        and exists (select from batch_changes where id = ${batchChangeId} and waves is not null)
      for update skip locked
    )
  `.execute(tx);
  wake(tx, reconcilerTopic);
}
