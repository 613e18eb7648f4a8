import { sql } from 'kysely';
import type { Db } from '../../db/connect.ts';

/** Adds an open changeset, as the reconciler leaves it. Its host is not polled within the next hour. */
export async function addOpenChangeset(
  db: Db,
  repository: string,
  {
    head,
    headCommit,
    externalId,
  }: { readonly head: string; readonly headCommit: string; readonly externalId: string },
): Promise<void> {
  await sql`
    with made as (insert into batch_changes (namespace, name, creator) values ('ann', ${repository}, 'ann') returning id)
    insert into changesets (batch_change_id, repository, head_ref, commit, external_id, publication, external_state, reconciler, sync_after)
    select id, ${repository}, ${`refs/heads/${head}`}, ${headCommit}, ${externalId}, 'published', 'open', 'completed', clock_timestamp() + interval '1 hour'
    from made
  `.execute(db);
}

/** What is known of a changeset. */
interface HostFacts {
  readonly externalId: string | null;
  readonly state: string | null;
  readonly review: string | null;
  readonly checks: string | null;
  readonly publication: string;
  readonly reconciler: string;
  readonly failure: string | null;
}

/** Returns what is known of the changesets of a repository. */
export async function readHostFacts(db: Db, repository: string): Promise<HostFacts[]> {
  const { rows } = await sql<HostFacts>`
    select external_id as "externalId", external_state as state, review, checks, publication, reconciler, failure
    from changesets where repository = ${repository}
  `.execute(db);
  return rows;
}
