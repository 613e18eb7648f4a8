import type { Publication } from '@fumehood/protocol';
import { sql } from 'kysely';
import type { Db } from '../db/connect.ts';
import type { ChangesetFacts, WantedChangeset } from './plan.ts';
import type { ReconcilerState } from './state.ts';

/** A changeset spec as the plan needs it, and what clients are shown of it. */
export interface SpecRow {
  readonly id: number;
  readonly publicId: string;
  readonly repository: string;
  readonly headRef: string | null;
  readonly externalId: string | null;
  readonly title: string | null;
  readonly files: number | null;
  readonly addedLines: number | null;
  readonly deletedLines: number | null;
  readonly wanted: WantedChangeset;
}

/** What a changeset shall be, of a row of `changeset_specs` with this name. */
export const wantedOf = (
  spec: string,
) => sql`case when ${sql.ref(`${spec}.id`)} is not null then jsonb_build_object(
  'kind', ${sql.ref(`${spec}.kind`)}, 'diff', ${sql.ref(`${spec}.diff`)}, 'message', ${sql.ref(`${spec}.message`)},
  'authorName', ${sql.ref(`${spec}.author_name`)}, 'authorEmail', ${sql.ref(`${spec}.author_email`)},
  'title', ${sql.ref(`${spec}.title`)}, 'body', ${sql.ref(`${spec}.body`)}, 'baseRef', ${sql.ref(`${spec}.base_ref`)},
  'published', ${sql.ref(`${spec}.published`)}) end`;

/** Returns the changeset specs of a batch spec, in order. */
export async function specRows(db: Db, specId: number): Promise<SpecRow[]> {
  const { rows } = await sql<SpecRow>`
    select id, public_id as "publicId", repository, head_ref as "headRef", external_id as "externalId", title, files,
      added_lines as "addedLines", deleted_lines as "deletedLines", ${wantedOf('changeset_specs')} as wanted
    from changeset_specs where spec_id = ${specId} order by repository, head_ref, external_id, id
  `.execute(db);
  return rows;
}

/** A changeset of a batch change as the plan needs it. */
export interface ChangesetRow extends Omit<ChangesetFacts, 'wanted' | 'made' | 'isHosted'> {
  readonly id: number;
  readonly publicId: string;
  readonly repository: string;
  readonly headRef: string | null;
  readonly externalId: string | null;
  readonly title: string | null;
  readonly specId: number | null;
  readonly wanted: WantedChangeset | null;
  readonly made: WantedChangeset | null;
  readonly reconciler: ReconcilerState;
  readonly isArchived: boolean;
  readonly asked: Publication | null;
}

/** The columns of `ChangesetRow`, of a row `changeset` with its specs `wanted` and `made`. */
export const changesetColumns = sql`
  changeset.id, changeset.public_id as "publicId", changeset.repository, changeset.head_ref as "headRef",
  coalesce(changeset.external_id, wanted.external_id) as "externalId", coalesce(wanted.title, made.title) as title,
  changeset.spec_id as "specId", ${wantedOf('wanted')} as wanted, ${wantedOf('made')} as made, publication,
  asked_publication as asked, external_state as "externalState", closing, archiving, detaching, comments, merging, only_asked as "onlyAsked", reconciler,
  archived_at is not null as "isArchived"
`;
export const changesetTables = sql`
  changesets changeset left join changeset_specs wanted on wanted.id = changeset.spec_id
    left join changeset_specs made on made.id = changeset.reconciled_spec_id
`;

/** Returns the changesets of a batch change that are not detached, in order. */
export async function changesetRows(db: Db, batchChangeId: number): Promise<ChangesetRow[]> {
  const { rows } = await sql<ChangesetRow>`
    select ${changesetColumns} from ${changesetTables}
    where batch_change_id = ${batchChangeId} and detached_at is null
    order by changeset.repository, changeset.head_ref, changeset.id
  `.execute(db);
  return rows;
}
