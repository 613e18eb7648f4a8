import { join } from 'node:path';
import type { Clock, Spawn } from '@fumehood/base';
import type { Logger } from 'pino';
import { acceptFirstSecrets } from './auth/first-secrets.ts';
import { jobAuth } from './auth/job.ts';
import { workspaceEnded } from './batches/execution/ended.ts';
import { makeExec, makeExecuted } from './batches/execution/exec.ts';
import { makeNextStep } from './batches/execution/next-step.ts';
import { workOnBatchSpecs } from './batches/work.ts';
import { openBlobStore } from './blobs/store.ts';
import { reconcileChangesets } from './changesets/reconcile/reconcile.ts';
import { codeHostOf } from './code-hosts/host-of.ts';
import { syncChangesets } from './code-hosts/sync.ts';
import { wakeBranches } from './code-hosts/sync-records.ts';
import type { InstanceConfig } from './config.ts';
import { connect } from './db/connect.ts';
import { makeHealth } from './db/health.ts';
import { migrate } from './db/migrate.ts';
import { listen } from './db/wakes.ts';
import { indexDependencies } from './dependencies/index-dependencies.ts';
import type { Routes } from './http/deps.ts';
import { type RequestLimits, requestLimits } from './http/limits.ts';
import { listenHttp } from './http/listen.ts';
import { allRoutes } from './http/routes.ts';
import { buildServer } from './http/server.ts';
import { makeTurns } from './http/turns.ts';
import { indexByPolicies } from './indexing/by-policies.ts';
import { makeKinds } from './kinds/kinds.ts';
import type { KindStores } from './kinds/stores.ts';
import { reap } from './queue/reaper.ts';
import { provideCommit } from './repos/commit-files.ts';
import { openMirrors } from './repos/mirrors.ts';
import { type CommitStore, openCommits } from './repos/store.ts';
import { syncRepositories } from './repos/sync.ts';
import { retain } from './retention/retain.ts';
import { readSecretsKey } from './secrets/key.ts';
import { countOfOtherKey } from './secrets/other-key.ts';
import { openVault } from './secrets/vault.ts';
import { openStaging } from './staging.ts';

export interface InstanceDeps {
  readonly clock: Clock;
  /** Has git run by the instance's helper. */
  readonly spawn: Spawn;
  readonly log: Logger;
}

/** Parts that a test puts in the place of the real ones. */
export interface InstanceParts {
  readonly openCommits: (directory: string, spawn: Spawn, replica: string) => Promise<CommitStore>;
  readonly routes: readonly Routes[];
  readonly limits: RequestLimits;
  /** The steps of batch changes; null: those of the workspaces that the instance starts. */
  readonly batches: KindStores['batches'] | null;
}

const defaultParts: InstanceParts = {
  ...{ openCommits, routes: allRoutes, limits: requestLimits, batches: null },
};

export interface Instance {
  /** Of loopback, as is `port`. */
  readonly url: string;
  readonly port: number;
  /** The port of the TLS address; null without one. */
  readonly tlsPort: number | null;
  /** Ends held requests and streams, lets the others finish, and closes the database connections. */
  close: () => Promise<void>;
}

/**
 * Starts the instance: brings the database up to date, serves HTTP, and runs the reaper. Errors: `migration_failed`,
 * `secrets_key_unusable`, and those of `listenHttp`.
 */
export async function startInstance(
  config: InstanceConfig,
  { clock, spawn, log }: InstanceDeps,
  parts: InstanceParts = defaultParts,
): Promise<Instance> {
  const vault = openVault(await readSecretsKey(config.secretsKeyFile));
  const db = connect(config.connection);
  const reservedDb = connect(config.connection, { connections: 8 });
  const health = makeHealth(clock);
  const stopping = new AbortController();
  const wakes = listen(config.connection, clock);
  const release = async () => {
    stopping.abort();
    await wakes.close();
    await db.destroy();
    await reservedDb.destroy();
  };
  try {
    await migrate(db, config.migrations);
    await acceptFirstSecrets(db, {
      accessTokenSha256: Buffer.from(config.accessTokenSha256, 'hex'),
      executorCredentialSha256: Buffer.from(config.executorCredentialSha256, 'hex'),
    });
    const unreadable = await countOfOtherKey(db, vault);
    if (unreadable > 0)
      log.warn(
        { file: config.secretsKeyFile },
        `${unreadable} passwords and secrets in the database were encrypted with another key than this one: jobs that need them will fail. Replicas need the same key file`,
      );
    const staging = await openStaging(join(config.directories.blobs, 'staging', config.replica));
    const blobs = await openBlobStore(config.directories.blobs, staging);
    const commits = await parts.openCommits(config.directories.repositories, spawn, config.replica);
    const mirrors = await openMirrors(config.directories.repositories, spawn);
    const hasCommit = (repository: string, commit: string) =>
      provideCommit({ db, mirrors, commits, spawn }, repository, commit);
    const kinds = makeKinds({
      ...{ hasBlob: blobs.has, hasCommit, hasExecutorUrl: config.upstream.url !== null },
      batches: parts.batches ?? {
        next: makeNextStep({ vault, blobs }),
        exec: makeExec({ blobs }),
        executed: makeExecuted({ vault, blobs }),
        ended: workspaceEnded,
      },
    });
    const app = await buildServer(
      {
        ...{ version: config.version, upstream: config.upstream, url: config.url, stopping: stopping.signal },
        ...{ db, reservedDb, health, wakes, clock, spawn, kinds, staging, blobs, commits, mirrors, vault },
        limits: parts.limits,
        turns: makeTurns(parts.limits, clock),
        jobAuth: jobAuth(db, config.compatibility),
      },
      { log, hosts: config.hosts, routes: parts.routes },
    );
    const { port, tlsPort, close } = await listenHttp(app, config, { clock, log, limits: parts.limits });
    const retaining = retain({ db, commits, mirrors, clock, log }, config, stopping.signal);
    const syncing = syncRepositories(
      {
        db,
        vault,
        mirrors,
        clock,
        log,
        async onSynced(name) {
          await indexByPolicies({ db, kinds, mirrors, clock, log }, name);
          await wakeBranches(db, name).catch((error: unknown) =>
            log.warn(
              { error, repository: name },
              'the branches of changesets are looked at when they are due',
            ),
          );
        },
      },
      wakes,
      stopping.signal,
    );
    const syncingChangesets = syncChangesets({ db, vault, mirrors, clock, log }, wakes, stopping.signal);
    const reconciling = reconcileChangesets(
      {
        ...{ db, vault, mirrors, blobs, spawn, clock, log },
        hostOf: (repository) => codeHostOf({ db, vault, clock }, repository),
      },
      wakes,
      stopping.signal,
    );
    const indexingDependencies = indexDependencies({ db, kinds, clock, log }, stopping.signal);
    const workingOnBatches = workOnBatchSpecs(
      { db, vault, blobs, mirrors, clock, log, provideCommit: hasCommit },
      wakes,
      stopping.signal,
    );
    const reaping = reap(reservedDb, kinds, clock, log, stopping.signal, health);
    return {
      url: `http://127.0.0.1:${port}`,
      port,
      tlsPort,
      async close() {
        stopping.abort();
        await close();
        await reaping;
        await retaining;
        await syncing;
        await syncingChangesets;
        await reconciling;
        await indexingDependencies;
        await workingOnBatches;
        await release();
      },
    };
  } catch (error) {
    await release();
    throw error;
  }
}
