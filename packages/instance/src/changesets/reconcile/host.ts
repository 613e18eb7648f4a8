import type { ChangesetOperation } from '@fumehood/protocol';
import { sql } from 'kysely';
import type { CodeHost, RemoteChangeset } from '../../code-hosts/code-host.ts';
import type { Db } from '../../db/connect.ts';
import { shortName } from '../derive.ts';
import { changesetHostMissing } from '../errors.ts';
import { wantedPublication } from '../publication.ts';
import { type ClaimedChangeset, otherComments, storeProgress } from './claims.ts';

export interface HostDeps {
  readonly db: Db;
  /** Returns the code host of a repository; null: it is on a plain git remote. */
  readonly hostOf: (repository: string) => Promise<CodeHost | null>;
}

/** What is done on a code host. */
export type HostOperation = Extract<
  ChangesetOperation,
  'publish' | 'update' | 'undraft' | 'import' | 'close' | 'reopen' | 'comment' | 'merge'
>;

/**
 * Does one thing on the code host of a changeset, and stores what the host has then. A repetition does no harm: the host returns the changeset that is
 * open for the branch. Errors: those of the code host, and `changeset_host_missing`.
 */
export async function changeOnHost(
  { db, hostOf }: HostDeps,
  claimed: ClaimedChangeset,
  operation: HostOperation,
): Promise<void> {
  const host = await hostOf(claimed.repository);
  if (host === null) throw changesetHostMissing(claimed.repository);
  const remote = await perform(db, host, claimed, operation);
  const isDraft = remote.state === 'draft';
  await storeProgress(
    db,
    claimed,
    sql`
      external_id = ${remote.externalId}, external_url = ${remote.url}, external_state = ${remote.state}, review = ${remote.review},
      checks = ${remote.checks}, publication = ${isDraft ? 'draft' : 'published'}, synced_at = clock_timestamp(),
      published_at = coalesce(published_at, clock_timestamp()), sync_after = clock_timestamp() + interval '1 minute'
    `,
  );
}

async function perform(
  db: Db,
  host: CodeHost,
  claimed: ClaimedChangeset,
  operation: HostOperation,
): Promise<RemoteChangeset> {
  const { wanted, headRef, asked } = claimed;
  const externalId = claimed.externalId ?? '';
  if (operation === 'publish' || operation === 'update') {
    if (wanted?.kind !== 'branch') throw new TypeError('a changeset without a branch cannot be published');
    const text = {
      ...{ title: wanted.title, base: shortName(wanted.baseRef) },
      body: await bodyOf(db, claimed.batchChangeId, wanted.body),
    };
    if (operation === 'update') return await host.update(externalId, text);
    const draft = wantedPublication(wanted.published, asked) === 'draft';
    return await host.open({ ...text, head: shortName(headRef ?? ''), draft, fork: claimed.fork });
  }
  if (operation === 'comment') return await comment(db, host, claimed, externalId);
  if (operation === 'merge') return await host.merge(externalId, { squash: claimed.merging === 'squash' });
  if (operation === 'import') return await host.read(externalId);
  if (operation === 'close') return await host.close(externalId);
  return operation === 'reopen' ? await host.reopen(externalId) : await host.undraft(externalId);
}

/** Adds the comments that users ask for, each once: what was added is taken out before the next one. */
async function comment(
  db: Db,
  host: CodeHost,
  claimed: ClaimedChangeset,
  externalId: string,
): Promise<RemoteChangeset> {
  let changeset: RemoteChangeset | null = null;
  for (const one of claimed.comments) {
    changeset = await host.comment(externalId, one);
    await storeProgress(db, claimed, sql`comments = ${otherComments([one])}`);
  }
  return changeset ?? (await host.read(externalId));
}

const link = '${{ batch_change_link }}';

/** Returns the text of a changeset, with the name of its batch change: where the template has it, or else at the end. */
async function bodyOf(db: Db, batchChangeId: number, body: string): Promise<string> {
  const { rows } = await sql<{ name: string }>`
    select namespace || '/' || name as name from batch_changes where id = ${batchChangeId}
  `.execute(db);
  const { name = '' } = rows[0] ?? {};
  if (body.includes(link)) return body.replaceAll(link, name);
  return `${body}\n\nThe batch change ${name} has made this.`.trimStart();
}
