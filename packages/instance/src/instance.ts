import type { Clock, Spawn } from '@glovebox/base';
import type { QueueName } from '@glovebox/protocol';
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import { acceptFirstSecrets } from './auth/first.ts';
import { type JobAuth, jobAuth } from './auth/job.ts';
import { openBlobStore } from './blobs/store.ts';
import type { InstanceConfig } from './config.ts';
import { connect, type Db } from './db/connect.ts';
import { migrate } from './db/migrate.ts';
import { listen } from './db/wakes.ts';
import { portInUse } from './errors.ts';
import { requirePerson } from './http/api/person.ts';
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
  /** Ends held requests and streams, lets the others finish, and closes the database's connections. */
  close(): Promise<void>;
}

/** Starts the instance: database up to date, HTTP on loopback, reaper. Errors: `migration_failed`, `port_in_use`. */
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
    const port = await listenOn(app, config.port);
    const reaping = reap(db, kinds, clock, log, stopping.signal);
    return {
      url: `http://127.0.0.1:${port}`,
      port,
      async close() {
        stopping.abort();
        await closeHttp(app, clock);
        await reaping;
        await release();
      },
    };
  } catch (error) {
    await release();
    throw error;
  }
}

async function listenOn(app: FastifyInstance, port: number): Promise<number> {
  try {
    await app.listen({ host: '127.0.0.1', port });
  } catch (error) {
    await app.close();
    throw (error as NodeJS.ErrnoException).code === 'EADDRINUSE' ? portInUse(port) : error;
  }
  const address = app.server.address();
  return typeof address === 'object' && address ? address.port : port;
}

/** Requests that still run are waited for this long. */
const patienceMs = 5_000;

/** A connection that becomes idle only now, because its stream ended, would be kept open for another minute. */
async function closeHttp(app: FastifyInstance, clock: Clock): Promise<void> {
  const closed = new AbortController();
  const closing = app.close().then(() => closed.abort());
  const giveUpAt = clock.bootTime() + patienceMs;
  while (!closed.signal.aborted) {
    if (clock.bootTime() < giveUpAt) app.server.closeIdleConnections();
    else app.server.closeAllConnections();
    await Promise.race([closing, clock.sleep(50)]);
  }
}
