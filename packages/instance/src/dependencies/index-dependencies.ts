import { createHash } from 'node:crypto';
import type { Clock } from '@fumehood/base';
import { nodeMemory } from '@fumehood/index-config';
import { createJobSchema, type DependencyIndexing, type IndexLanguage } from '@fumehood/protocol';
import { sql } from 'kysely';
import type { Logger } from 'pino';
import type { Db } from '../db/connect.ts';
import { transaction } from '../db/transaction.ts';
import { readIndexers } from '../indexing/indexers.ts';
import { kindOf, type QueueKinds } from '../queue/kind.ts';
import { enqueue } from '../queue/queue.ts';
import { emptyCommit } from '../repos/empty-commit.ts';
import { repositoryOfPackage } from './packages.ts';
import {
  type DueDependency,
  findDue,
  findUnread,
  readDependencyIndexing,
  readPackages,
  recordTry,
  removeUnnamed,
} from './records.ts';

interface DependencyDeps {
  readonly db: Db;
  readonly kinds: QueueKinds;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Time between two rounds, milliseconds. */
const periodMs = 10_000;
/** Indexes whose packages are read in a round, and jobs that index packages at the same time. */
const readAtOnce = 10;
const jobsAtOnce = 5;
/** Held while a replica does a round. */
const lock = 'dependency indexing';

/** Has the packages indexed that indexes name, each version once for all repositories, until `signal` is aborted. */
export async function indexDependencies(deps: DependencyDeps, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await indexDependenciesOnce(deps).catch((error: unknown) =>
      deps.log.error({ error }, 'having dependencies indexed failed; the next round tries again'),
    );
    await deps.clock.sleep(periodMs, signal).catch(() => {});
  }
}

/** Does one round: nothing unless an admin has turned it on, or while another replica does it. */
export async function indexDependenciesOnce({
  db,
  kinds,
  log,
}: Omit<DependencyDeps, 'clock'>): Promise<void> {
  const settings = await readDependencyIndexing(db);
  if (settings === null) return;
  await transaction(db, async (tx) => {
    const { rows } = await sql<{ free: boolean }>`
      select pg_try_advisory_xact_lock(hashtextextended(${lock}, 0)) as free
    `.execute(tx);
    if (!rows[0]?.free) return;
    for (const upload of await findUnread(db, readAtOnce)) await readPackages(db, upload);
    await removeUnnamed(db);
    for (const due of await findDue(db, { together: jobsAtOnce, aDay: settings.jobsADay }))
      try {
        await recordTry(db, due.id, { jobId: await makeJob(db, kinds, settings, due), failure: null });
      } catch (error) {
        log.warn({ error, ...due }, 'no job could be made for a dependency');
        await recordTry(db, due.id, { jobId: null, failure: (error as Error).message.slice(0, 2_000) });
      }
  });
}

/** Where the packages of a manager come from, and what indexes them. Name and version are variables, which no shell interprets. */
const managers: Readonly<
  Record<string, { readonly language: IndexLanguage; readonly indexer: string; readonly commands: string[] }>
> = {
  npm: {
    language: 'typescript',
    indexer: 'scip-typescript',
    commands: [
      'set -eu; top=$PWD',
      nodeMemory,
      'npm install --prefix . --ignore-scripts --no-audit --no-fund --no-save --no-package-lock -- "$PACKAGE_NAME@$PACKAGE_VERSION"',
      'cd "node_modules/$PACKAGE_NAME"',
      // What a package publishes of its configuration often names files that it does not publish.
      'rm -f tsconfig.json',
      'scip-typescript index --infer-tsconfig --no-progress-bar --output "$top/index.scip"',
    ],
  },
  python: {
    language: 'python',
    indexer: 'scip-python',
    commands: [
      'set -eu; top=$PWD',
      nodeMemory,
      'pip install --no-deps --no-compile --disable-pip-version-check --target site -- "$PACKAGE_NAME==$PACKAGE_VERSION"',
      'cd site',
      'scip-python index . --project-name "$PACKAGE_NAME" --project-version "$PACKAGE_VERSION" --output "$top/index.scip"',
    ],
  },
};

/**
 * Makes the job that indexes a package, and returns its number. Its workspace is empty: what is indexed is what the registry has, and nothing of any
 * repository. Errors: those of a job that cannot be made.
 */
async function makeJob(
  db: Db,
  kinds: QueueKinds,
  { tenant, accept, network, broker }: DependencyIndexing,
  { id, tries, ...dependency }: DueDependency,
): Promise<number> {
  const manager = managers[dependency.manager];
  if (manager === undefined) throw new TypeError(`nothing indexes packages of ${dependency.manager}`);
  const { [manager.language]: image } = await readIndexers(db);
  const request = createJobSchema.parse({
    // Requests name no package as their repository, so that nobody else stores an index of one.
    ...{ queue: 'codeintel', repository: 'package', commit: emptyCommit, accept, network },
    ...(broker !== null && { broker }),
    indexer: { name: manager.indexer, image, commands: manager.commands },
  });
  const job = await kindOf(kinds, 'codeintel').create({
    ...request,
    repository: repositoryOfPackage(dependency),
  } as typeof request);
  const requestSha256 = createHash('sha256').update(`dependency ${id} ${tries}`).digest();
  const made = await enqueue(db, 'codeintel', job, {
    ...{ tenant, priority: request.priority, processAfter: null, retryPauseMs: request.retryPauseMs },
    idempotency: { key: `index-${requestSha256.toString('hex').slice(0, 40)}`, requestSha256 },
  });
  return made.id;
}
