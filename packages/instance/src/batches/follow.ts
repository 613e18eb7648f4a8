import type { Clock } from '@fumehood/base';
import { type BatchEvent, hasBatchSpecEnded, type WorkspaceRecord } from '@fumehood/protocol';
import { sql } from 'kysely';
import type { Person } from '../auth/people.ts';
import type { Db } from '../db/connect.ts';
import { batchTopic } from '../db/topics.ts';
import type { Wakes } from '../db/wakes.ts';
import { type BatchSpecId, readBatchSpec, requireBatchSpec } from './specs.ts';
import { workspaceRecord } from './workspaces.ts';

/** Workspaces that are read at once. */
const pageSize = 100;
/** Least time between two looks at a batch spec for one follower, milliseconds: of many changes of a workspace the last one counts. */
const pauseMs = 500;
/** How often a follower looks at a batch spec that nobody has said anything of, milliseconds. */
const pollMs = 5_000;

interface FollowDeps {
  readonly db: Db;
  readonly wakes: Wakes;
  readonly clock: Clock;
}

/** Something that a follower of a batch spec learns. */
type Followed =
  /** `id`: a follower that has this event, and those before it, can resume after it; null: after an earlier one. */
  | { readonly type: 'event'; readonly id: number | null; readonly data: BatchEvent }
  /** All changes so far have been yielded. Repeated every few seconds while nothing happens. */
  | { readonly type: 'silence' };

/** Where a look has ended: at the last change in the order of changes. */
interface Place {
  readonly changed: number;
  readonly id: number;
}

/** A workspace that has changed, and the transaction that has changed it. */
interface Changed extends Place {
  readonly workspace: WorkspaceRecord;
}

/**
 * Yields the state of a batch spec and its workspaces, and each one again when it has changed, until the batch spec has ended or `gone` is aborted. `after`: the id of the
 * event to resume after; 0: from the beginning. A workspace may come again after that though it has not changed. Errors: `batch_spec_not_found`.
 */
export async function* followBatchSpec(
  { db, wakes, clock }: FollowDeps,
  person: Person,
  publicId: string,
  after: number,
  gone: AbortSignal,
): AsyncGenerator<Followed> {
  const spec = await requireBatchSpec(db, person, publicId);
  const subscription = wakes.subscribe(batchTopic(publicId));
  try {
    // Ids of events are transactions: all that were over when the one with this number was the oldest that was not.
    let since = after;
    let told = new Map<number, number>();
    let toldState = '';
    while (!gone.aborted) {
      // The record first: when it has ended, the workspaces that are read after it have ended, too.
      const { state, resolution } = await readBatchSpec(db, person, publicId);
      const open = await oldestTransaction(db);
      const tellsState = toldState !== `${state} ${resolution}`;
      const again = new Map<number, number>();
      let last: Extract<Followed, { type: 'event' }> | null = null;
      for await (const { id, changed, workspace } of changedSince(db, spec, since)) {
        // What a later look finds again, because its transaction may have been open during this one.
        if (changed >= open) again.set(id, changed);
        if (told.get(id) === changed) continue;
        if (last) yield last;
        last = { type: 'event', id: null, data: { type: 'workspace', workspace } };
      }
      if (last) yield tellsState ? last : { ...last, id: open };
      if (tellsState) yield { type: 'event', id: open, data: { type: 'spec', state, resolution } };
      if (hasBatchSpecEnded({ state, resolution })) return;
      [since, told, toldState] = [open, again, `${state} ${resolution}`];
      yield { type: 'silence' };
      await clock.sleep(pauseMs, gone).catch(() => {});
      await subscription.next(pollMs, gone);
    }
  } finally {
    subscription.close();
  }
}

/** Returns the number of the oldest transaction that is not over: what it and later ones change is not seen yet. */
async function oldestTransaction(db: Db): Promise<number> {
  const { rows } = await sql<{ open: number }>`
    select pg_snapshot_xmin(pg_current_snapshot())::text::bigint as open
  `.execute(db);
  return rows[0]?.open ?? 0;
}

/** Yields the workspaces of a batch spec that this transaction or a later one has changed, in the order of their changes. */
async function* changedSince(db: Db, { id: specId }: BatchSpecId, since: number): AsyncGenerator<Changed> {
  let after: Place = { changed: since, id: 0 };
  for (;;) {
    const { rows } = await sql<Changed>`
      select workspace.id, changed::text::bigint as changed, to_jsonb(record) as workspace
      from batch_workspaces workspace, lateral (select ${workspaceRecord}) as record
      where spec_id = ${specId} and (changed, workspace.id) > (${String(after.changed)}::xid8, ${after.id})
      order by changed, workspace.id limit ${pageSize}
    `.execute(db);
    yield* rows;
    const end = rows.at(-1);
    if (rows.length < pageSize || !end) return;
    after = end;
  }
}
