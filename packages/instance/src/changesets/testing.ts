import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setRepositorySchema } from '@fumehood/protocol';
import { sql } from 'kysely';
import { type Logger, pino } from 'pino';
import type { Person } from '../auth/people.ts';
import { createBatchSpec } from '../batches/specs.ts';
import { type BlobStore, openBlobStore } from '../blobs/store.ts';
import { connect, type Db } from '../db/connect.ts';
import { openTestServer } from '../db/testing.ts';
import { transaction } from '../db/transaction.ts';
import { setRepository } from '../repos/records.ts';
import { openVault, type Vault } from '../secrets/vault.ts';
import { openStaging } from '../staging.ts';
import { addChangesetSpecs, createChangesetSpecs } from './client-specs.ts';

/** A database and a store of blobs, for tests of changesets. */
export interface ChangesetBench extends AsyncDisposable {
  readonly db: Db;
  readonly blobs: BlobStore;
  readonly vault: Vault;
  /** A directory of its own. */
  readonly root: string;
  readonly person: Person;
  readonly log: Logger;
  /** Runs a statement, and returns its rows. */
  run(statement: string): Promise<object[]>;
  /** Removes all batch changes, batch specs, repositories and code hosts. */
  clear(): Promise<void>;
  /** Mirrors a repository; null: clients send it. */
  mirror(
    name: string,
    url: string | null,
    credential?: { readonly username: string; readonly password: string },
  ): Promise<void>;
  /** Makes a batch spec of a client that has changesets with these fields. Returns its public id, and theirs. */
  spec(
    name: string,
    changesets: readonly object[],
  ): Promise<{ readonly id: string; readonly changesets: string[] }>;
}

export const personNamed = (name: string): Person => ({
  ...{ userId: 0, name, admin: false, scopes: ['code:read', 'code:write'] },
  token: { name: 't', expiresAt: null },
});

/** Returns the diff that adds a file with one line. */
export const diffAdding = (name: string, line = 'a'): string =>
  `diff --git ${name} ${name}\nnew file mode 100644\nindex 0000000..2222222\n--- /dev/null\n+++ ${name}\n@@ -0,0 +1 @@\n+${line}\n`;

/** The fields of a client's changeset spec for a repository. */
export const clientSpec = (
  repository: string,
  change: { readonly diff?: string; readonly message?: string } = {},
  more: object = {},
) => ({
  ...{
    baseRepository: repository,
    headRepository: repository,
    baseRef: 'refs/heads/main',
    baseRev: '1'.repeat(40),
  },
  ...{ headRef: 'refs/heads/fix', title: 'Fix', body: 'Why' },
  commits: [{ message: change.message ?? 'Fix it', diff: change.diff ?? diffAdding('a') }],
  ...more,
});

/** All that a test makes, in an order in which it can be removed. */
const tables = [
  ...['changesets', 'batch_changes', 'batch_specs', 'changeset_specs'],
  ...['code_hosts', 'batch_rollout', 'repositories'],
];

export async function startChangesetBench(): Promise<ChangesetBench> {
  const server = openTestServer();
  const db = connect(await server.clone());
  const root = mkdtempSync(join(tmpdir(), 'fumehood-changesets-'));
  chmodSync(root, 0o711); // git runs as another user, and traverses it
  const vault = openVault(Buffer.alloc(32, 1));
  const blobs = await openBlobStore(root, await openStaging(join(root, 'staging')));
  const person = personNamed('ann');
  const run = async (statement: string) => (await sql.raw<object>(statement).execute(db)).rows;
  return {
    ...{ db, blobs, vault, root, person, run, log: pino({ level: 'silent' }) },
    async clear() {
      for (const table of tables) await run(`delete from ${table}`);
    },
    async mirror(name, url, credential) {
      await setRepository(db, vault, name, setRepositorySchema.parse({ url, ...credential }));
    },
    async spec(name, changesets) {
      const deps = { db, blobs, repositoryOf: (id: string) => id };
      const texts = changesets.map((one) => JSON.stringify(one));
      const ids = await createChangesetSpecs(deps, person, texts);
      return await transaction(db, async (tx) => {
        const made = await createBatchSpec({ db: tx }, person, {
          ...{ text: JSON.stringify({ name, description: 'd' }), namespace: person.name, origin: 'client' },
          ...{
            allowIgnored: false,
            allowUnsupported: false,
            noCache: false,
            options: {},
            batchChangeId: null,
          },
        });
        await addChangesetSpecs(tx, person, made.id, ids);
        return { id: made.publicId, changesets: ids };
      });
    },
    async [Symbol.asyncDispose]() {
      await db.destroy();
      await server.stop();
      rmSync(root, { recursive: true, force: true });
    },
  };
}

/** Says that the reconciler has done all that was to be done: branches are pushed and published. */
export async function pretendReconciled(db: Db): Promise<void> {
  await sql`
    update changesets set reconciler = 'completed', reconciled_spec_id = coalesce(spec_id, reconciled_spec_id),
      publication = case when asked_publication is not null then 'pushed' else publication end
    where reconciler = 'queued'
  `.execute(db);
}
