import type { ChangesetOperation, Preview, PreviewChangeset } from '@fumehood/protocol';
import { sql } from 'kysely';
import type { Person } from '../auth/people.ts';
import { requireBatchSpec } from '../batches/specs.ts';
import type { Db } from '../db/connect.ts';
import { batchSpecCanceled, batchSpecNotBuilt } from './errors.ts';
import { hostedAmong } from './hosted.ts';
import { type Match, matchChangesets } from './match.ts';
import { factsOnceApplied } from './next.ts';
import { planChangeset } from './plan.ts';
import { changesetRows, specRows } from './rows.ts';

/** A batch spec that can be applied. */
export interface ApplicableSpec {
  readonly id: number;
  readonly publicId: string;
  readonly namespace: string;
  readonly name: string;
  readonly text: string;
  /** The batch change that it was sent for. */
  readonly batchChangeId: number | null;
}

/**
 * Returns a batch spec whose changeset specs are there. One of which a workspace was canceled would close changesets that its results would have kept. Errors:
 * `batch_spec_not_found`, `batch_spec_not_built`, `batch_spec_canceled`.
 */
export async function requireApplicable(db: Db, person: Person, publicId: string): Promise<ApplicableSpec> {
  const { id } = await requireBatchSpec(db, person, publicId);
  const { rows } = await sql<ApplicableSpec & { isCanceled: boolean }>`
    select id, public_id as "publicId", namespace, name, text, batch_change_id as "batchChangeId",
      exists (select from batch_workspaces where spec_id = batch_specs.id and state = 'canceled') as "isCanceled"
    from batch_specs where id = ${id} and built_at is not null
  `.execute(db);
  if (!rows[0]) throw batchSpecNotBuilt(publicId);
  if (rows[0].isCanceled) throw batchSpecCanceled(publicId);
  return rows[0];
}

/** What the batch spec and the batch change come to together. */
export interface Matched {
  readonly matches: readonly Match[];
  /** Those of their repositories that are on a code host. */
  readonly hosted: ReadonlySet<string>;
}

/** Returns which changesets the changeset specs of a batch spec are for. `batchChangeId`: null if it is a new one. */
export async function matchSpec(db: Db, specId: number, batchChangeId: number | null): Promise<Matched> {
  const changesets = batchChangeId === null ? [] : await changesetRows(db, batchChangeId);
  const matches = matchChangesets(await specRows(db, specId), changesets);
  const names = matches.map(({ spec, changeset }) => (spec ?? changeset).repository);
  return { matches, hosted: await hostedAmong(db, [...new Set(names)]) };
}

/**
 * Returns what would happen if a batch spec were applied: nothing has happened yet. Errors: `batch_spec_not_found`,
 * `batch_spec_not_built`, `batch_spec_canceled`.
 */
export async function previewBatchSpec(db: Db, person: Person, publicId: string): Promise<Preview> {
  const { id, namespace, name } = await requireApplicable(db, person, publicId);
  const { rows } = await sql<{ id: number; publicId: string }>`
    select id, public_id as "publicId" from batch_changes where namespace = ${namespace} and name = ${name}
  `.execute(db);
  const batchChange = rows[0] ?? null;
  const { matches, hosted } = await matchSpec(db, id, batchChange?.id ?? null);
  const changesets = matches.map((match): PreviewChangeset => {
    const { spec, changeset } = match;
    const { repository, headRef, title } = spec ?? changeset;
    const { files, addedLines, deletedLines } = spec ?? {};
    return {
      changeset: changeset?.publicId ?? null,
      changesetSpec: spec?.publicId ?? null,
      ...{ repository, headRef, title },
      externalId: changeset?.externalId ?? spec?.externalId ?? null,
      published: spec?.wanted.kind === 'branch' ? spec.wanted.published : null,
      stat:
        typeof files === 'number' && typeof addedLines === 'number' && typeof deletedLines === 'number'
          ? { files, addedLines, deletedLines }
          : null,
      operations: planChangeset(factsOnceApplied(match, hosted.has(repository), undefined)),
    };
  });
  const stats: Partial<Record<ChangesetOperation, number>> = {};
  for (const operation of changesets.flatMap(({ operations }) => operations))
    stats[operation] = (stats[operation] ?? 0) + 1;
  return { batchChange: batchChange?.publicId ?? null, namespace, name, changesets, stats };
}
