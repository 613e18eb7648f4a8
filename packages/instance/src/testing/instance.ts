import { createHash } from 'node:crypto';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FumehoodError, type Spawn, systemClock } from '@fumehood/base';
import { type Job, type JobRecord, jobRecordSchema, type QueueName, type Tier } from '@fumehood/protocol';
import type { FastifyInstance } from 'fastify';
import { sql } from 'kysely';
import { pino } from 'pino';
import { newSecret, secretHash } from '../auth/secret.ts';
import type { Connection, TlsConfig } from '../config.ts';
import { connect, type Db } from '../db/connect.ts';
import { migrations } from '../db/testing.ts';
import { ensureSecretsKey } from '../helper/secrets.ts';
import { requestLimits } from '../http/limits.ts';
import { allRoutes } from '../http/routes.ts';
import { type Instance, type InstanceParts, startInstance } from '../instance.ts';
import { everyStore } from '../kinds/testing.ts';
import { retentionSchema } from '../retention/policy.ts';
import { type ExecutorClient, type ExecutorOptions, executorClient } from './executor-client.ts';

const noSpawn: Spawn = async (request) => {
  throw new FumehoodError({ code: 'spawn_failed', message: `this test runs no programs: ${request.label}` });
};

/** A store that claims to have every commit, without any repository. */
export const everyCommit: InstanceParts['openCommits'] = async () => ({
  find: () => '/nonexistent',
  add: async () => false,
});

/** The URL of the instance in the jobs of upstream's executors. */
export const executorUrl = 'https://fumehood.test';

/** A running instance, with clients for it. */
export interface TestInstance {
  readonly url: string;
  /** The path of its unix socket. */
  readonly socket: string;
  readonly tlsPort: number | null;
  /** The directory of all its files. */
  readonly directory: string;
  readonly db: Db;
  /** Every route of the server, as `METHOD url`. */
  readonly routes: readonly string[];
  readonly accessToken: string;
  readonly credential: string;
  /** Sends a request with the access token. */
  api(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Response>;
  /** Returns a client for an executor's requests; by default `e1`, with the first credential, natively. */
  executor(options?: Partial<ExecutorOptions>): ExecutorClient;
  /** Stores an image archive and returns its digest. */
  image(content?: string): Promise<string>;
  /** Creates a job of the queue `runs`. */
  run(options?: object): Promise<JobRecord>;
  /** Leases a job natively; null when there is none. */
  lease(options?: {
    executor?: string;
    queues?: QueueName[];
    tiers?: Tier[];
    waitMs?: number;
  }): Promise<Job | null>;
  stop(): Promise<void>;
}

/** Extends a lease so that it lasts for the whole test without heartbeats. */
export async function extendLease({ db }: Pick<TestInstance, 'db'>, { id }: Pick<Job, 'id'>): Promise<void> {
  await sql`update jobs set lease_expires_at = clock_timestamp() + interval '1 hour' where id = ${id}`.execute(
    db,
  );
}

/** Lets executors whose leases a test has ended lease again at once. */
export async function forgetLosses({ db }: Pick<TestInstance, 'db'>): Promise<void> {
  await sql`update executors set must_beat = false, lost_at = null where must_beat or lost_at is not null`.execute(
    db,
  );
}

/** The settings of a test instance. By default it claims to have every commit. */
export interface TestSettings extends Partial<InstanceParts> {
  readonly accessToken?: string;
  readonly credential?: string;
  readonly executorsWithoutJobTokens?: boolean;
  readonly spawn?: Spawn;
  readonly tls?: TlsConfig;
  /** The address of the instance for other machines. */
  readonly url?: string;
  /** The directory of an earlier instance, which is removed at the end; missing: a new one. */
  readonly directory?: string;
}

/** Starts an instance on a database. It has its own directory and runs no programs unless `spawn` is given. */
export async function startTestInstance(
  connection: Connection,
  {
    accessToken = newSecret(),
    credential = newSecret(),
    executorsWithoutJobTokens = false,
    spawn = noSpawn,
    openCommits = everyCommit,
    routes = allRoutes,
    limits = requestLimits,
    batches = everyStore.batches,
    tls,
    url,
    directory: given,
  }: TestSettings = {},
): Promise<TestInstance> {
  const directory = given ?? (await mkdtemp(join(tmpdir(), 'fumehood-instance-')));
  const directories = {
    blobs: join(directory, 'blobs'),
    repositories: join(directory, 'repositories'),
  };
  for (const path of Object.values(directories)) await mkdir(path, { recursive: true });
  await chmod(directory, 0o711); // programs of other users read it
  const socket = join(directory, 'run/socket');
  await mkdir(join(directory, 'run'));
  const secretsKeyFile = join(directory, 'run/secrets-key');
  ensureSecretsKey(secretsKeyFile, null);
  const registered: string[] = [];
  const recordRoutes = (message: unknown) =>
    (message as { fastify: FastifyInstance }).fastify.addHook('onRoute', ({ method, url }) => {
      // The patterns of parameters are removed.
      for (const one of [method].flat()) registered.push(`${one} ${url.replaceAll(/\([^/]*\)/g, '')}`);
    });
  subscribe('fastify.initialization', recordRoutes);
  const instance: Instance = await startInstance(
    {
      version: '0.0.0-test',
      connection,
      migrations,
      directories,
      replica: '0'.repeat(16),
      socket,
      port: 0,
      hosts: ['fumehood.test'],
      tls: tls ?? null,
      plain: null,
      url: url ?? null,
      accessTokenSha256: secretHash(accessToken).toString('hex'),
      executorCredentialSha256: secretHash(credential).toString('hex'),
      secretsKeyFile,
      upstream: { url: executorUrl, srcImage: 'src:1' },
      compatibility: { executorsWithoutJobTokens },
      retention: retentionSchema.parse({}),
    },
    { clock: systemClock, spawn, log: pino({ level: 'fatal' }) },
    { openCommits, routes, limits, batches },
  )
    .catch(async (error: unknown) => {
      await rm(directory, { recursive: true });
      throw error;
    })
    .finally(() => unsubscribe('fastify.initialization', recordRoutes));
  const db = connect(connection, { connections: 4 });
  const bodyOf = (body: unknown): string | Uint8Array<ArrayBuffer> | undefined => {
    if (body === undefined) return undefined;
    return Buffer.isBuffer(body) ? new Uint8Array(body) : JSON.stringify(body);
  };
  const json = (body: unknown) =>
    body === undefined || Buffer.isBuffer(body) ? {} : { 'content-type': 'application/json' };
  const send = (method: string, path: string, headers: Record<string, string>, body: unknown) => {
    const content = bodyOf(body);
    return fetch(`${instance.url}${path}`, {
      method,
      headers: { ...json(body), ...headers },
      ...(content !== undefined && { body: content }),
    });
  };
  const self: TestInstance = {
    url: instance.url,
    socket,
    tlsPort: instance.tlsPort,
    directory,
    db,
    routes: registered,
    accessToken,
    credential,
    api: (method, path, body, headers) =>
      send(method, path, { authorization: `token ${accessToken}`, ...headers }, body),
    executor: (options) => executorClient({ url: instance.url, credential, ...options }),
    async image(content = 'an image archive') {
      const bytes = Buffer.from(content);
      const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
      await self.api('PUT', `/api/blobs/${digest}`, bytes);
      return digest;
    },
    async run(options) {
      const image = await self.image();
      const request = { queue: 'runs', image, argv: ['true'], accept: ['vm-emulated'], ...options };
      return jobRecordSchema.parse(await (await self.api('POST', '/api/jobs', request)).json());
    },
    lease: ({ executor = 'e1', ...options } = {}) => self.executor({ name: executor }).lease(options),
    async stop() {
      await db.destroy();
      await instance.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
  return self;
}
