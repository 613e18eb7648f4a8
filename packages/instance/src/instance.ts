import type { Clock, Spawn } from '@fumehood/base';
import type { QueueName } from '@fumehood/protocol';
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import { acceptFirstSecrets } from './auth/first.ts';
import { type JobAuth, jobAuth } from './auth/job.ts';
import { openBlobStore } from './blobs/store.ts';
import type { InstanceConfig } from './config.ts';
import { connect, type Db } from './db/connect.ts';
import { migrate } from './db/migrate.ts';
import { listen } from './db/wakes.ts';
import { requirePerson } from './http/api/person.ts';
import { listenHttp } from './http/listen.ts';
import { buildServer } from './http/server.ts';
import { codeintelKind } from './kinds/codeintel.ts';
import { runsKind } from './kinds/runs.ts';
import type { QueueKind } from './queue/kind.ts';
import { reap } from './queue/reaper.ts';

/** What the routes of a domain get. */
export interface DomainDeps extends JobAuth {
  readonly db: Db;
  readonly clock: Clock;
  /** Runs git and the like, in the privileged parent. */
  readonly spawn: Spawn;
  readonly directories: InstanceConfig['directories'];
  /** Has the routes of a scope, made after it, ask people for an access token that is good for them. */
  readonly requirePerson: (scope: FastifyInstance) => void;
}

/** A domain beside the queue: its routes, and what the queue asks of it. */
export interface Domains {
  readonly hasCommit: (repository: string, commit: string) => Promise<boolean>;
  readonly plugin: (app: FastifyInstance) => Promise<void>;
}

export interface Instance {
  readonly url: string;
  readonly port: number;
  /** Where it is reached from elsewhere, if it is. */
  readonly tlsPort: number | null;
  /** Ends held requests and streams, lets the others finish, and closes the database's connections. */
  close: () => Promise<void>;
}

/** Starts the instance: database up to date, HTTP, reaper. Errors: `migration_failed`, and those of `listenHttp`. */
export async function startInstance(
  config: InstanceConfig,
  deps: { readonly clock: Clock; readonly spawn: Spawn; readonly log: Logger },
  domains: (deps: DomainDeps) => Promise<Domains>,
): Promise<Instance> {
  const { clock, spawn, log } = deps;
  const db = connect(config.connection);
  const stopping = new AbortController();
  const wakes = listen(config.connection, clock);
  const release = async () => {
    stopping.abort();
    await wakes.close();
    await db.destroy();
  };
  try {
    await migrate(db, config.migrations);
    await acceptFirstSecrets(db, {
      accessTokenSha256: Buffer.from(config.accessTokenSha256, 'hex'),
      executorCredentialSha256: Buffer.from(config.executorCredentialSha256, 'hex'),
    });
    const blobs = await openBlobStore(config.directories.blobs);
    const auth = jobAuth(db, config.compatibility);
    const others = await domains({
      ...auth,
      db,
      clock,
      spawn,
      directories: config.directories,
      requirePerson: (scope) => requirePerson(scope, db),
    });
    const has = {
      blob: blobs.has,
      commit: others.hasCommit,
      executorUrl: config.upstream.url !== null,
    };
    const kinds = new Map<QueueName, QueueKind>(
      [runsKind(blobs), codeintelKind(has)].map((kind) => [kind.name, kind]),
    );
    const app = await buildServer(
      {
        ...{ version: config.version, upstream: config.upstream, stopping: stopping.signal },
        ...{ db, wakes, clock, kinds, blobs, jobAuth: auth },
      },
      { log, hosts: config.hosts, plugins: [others.plugin] },
    );
    const { port, tlsPort, close } = await listenHttp(app, config, deps);
    const reaping = reap(db, kinds, clock, log, stopping.signal);
    return {
      url: `http://127.0.0.1:${port}`,
      port,
      tlsPort,
      async close() {
        stopping.abort();
        await close();
        await reaping;
        await release();
      },
    };
  } catch (error) {
    await release();
    throw error;
  }
}
