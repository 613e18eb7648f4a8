import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type Clock, FumehoodError, type SpawnPolicy, serveSpawn } from '@fumehood/base';
import type { Logger } from 'pino';
import { type InstanceConfig, type InstanceMessage, instanceMessageSchema } from '../config.ts';
import type { Connection } from '../db/connect.ts';
import { type Database, startDatabase } from '../db/server/start.ts';
import type { InstanceFile, KeeperConfig } from './config.ts';
import { keptSecret, writeWhole } from './secrets.ts';
import { type Mortal, type Supervised, supervise } from './supervise.ts';
import { type KeeperUsers, keeperUsers } from './users.ts';

/** What the instance may have run with a tenant's bytes. */
const programs = ['/usr/bin/git'];

export interface Keeper {
  readonly url: string;
  stop(): Promise<void>;
}

interface KeeperDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly searchPath: string;
}

/**
 * The privileged parent: starts PostgreSQL and the instance under their own users, each again when it dies, and runs programs
 * for the instance. Errors: those of `startDatabase`, `port_in_use`, `migration_failed`, `user_failed`.
 */
export async function startKeeper(config: KeeperConfig, deps: KeeperDeps): Promise<Keeper> {
  const users = keeperUsers();
  const directories = makeDirectories(config, users);
  const database =
    config.databaseUrl === null
      ? await supervise('PostgreSQL', () => privateDatabase(config, users, deps), deps)
      : null;
  const connection: Connection = database?.first.connection ?? { url: config.databaseUrl as string };
  const instanceConfig = (port: number): InstanceConfig => ({
    version: config.version,
    connection,
    migrations: config.migrations,
    directories,
    port,
    hosts: config.hosts,
    tls: config.tls,
    accessTokenSha256: keptSecret(join(config.state, 'run/token'), null),
    executorCredentialSha256: keptSecret(join(config.state, 'run/executor-credential'), config.executor),
    upstream: config.upstream,
    compatibility: config.compatibility,
  });
  const start = async (first: RunningInstance | null) =>
    // Again on the same port: executors and people have the URL.
    startInstanceProcess(config, users, instanceConfig(first?.listening.port ?? config.port), deps.clock);

  let instance: Supervised<RunningInstance>;
  try {
    instance = await supervise('the instance', start, deps);
  } catch (error) {
    await database?.stop();
    throw error;
  }
  const { url } = instance.first.listening;
  const file = join(config.state, 'run/instance.json');
  writeWhole(file, JSON.stringify({ url, pid: process.pid } satisfies InstanceFile), 0o644);
  return {
    url,
    async stop() {
      rmSync(file, { force: true });
      await instance.stop();
      await database?.stop();
    },
  };
}

interface RunningInstance extends Mortal {
  readonly listening: Listening;
}

async function startInstanceProcess(
  config: KeeperConfig,
  users: KeeperUsers,
  instanceConfig: InstanceConfig,
  clock: Clock,
): Promise<RunningInstance> {
  const file = join(config.state, 'instance/config.json');
  writeWhole(file, JSON.stringify(instanceConfig), 0o600);
  if (users.root) chownSync(file, users.instance.uid, users.instance.gid);
  const child = startChild(config, users, file);
  serveSpawn(child, spawnPolicy(config, users));
  const exited = once(child, 'exit').then(() => {});
  return {
    exited,
    listening: await untilListening(child),
    async stop() {
      child.kill('SIGTERM');
      const gone = new AbortController();
      await Promise.race([exited, clock.sleep(10_000, gone.signal).catch(() => {})]);
      gone.abort();
      child.kill('SIGKILL');
      await exited;
    },
  };
}

async function privateDatabase(
  config: KeeperConfig,
  users: KeeperUsers,
  deps: KeeperDeps,
): Promise<Database> {
  return await startDatabase(
    {
      directory: join(config.state, 'postgres'),
      runAs: users.postgres,
      admin: users.admin,
      owner: users.instance.name,
      searchPath: deps.searchPath,
      embeddedPackage: config.embeddedPostgres,
    },
    deps.clock,
  );
}

/** The instance's directories, and `run/`, which everybody may enter: each file in it says who reads it. */
function makeDirectories(config: KeeperConfig, users: KeeperUsers): InstanceConfig['directories'] {
  const root = join(config.state, 'instance');
  const made = (path: string, mode: number, owned: boolean) => {
    mkdirSync(path, { recursive: true });
    if (owned && users.root) chownSync(path, users.instance.uid, users.instance.gid);
    chmodSync(path, mode);
    return path;
  };
  made(config.state, 0o755, false);
  made(join(config.state, 'run'), 0o755, false);
  made(root, 0o711, true); // git, under another uid, must come through
  return {
    blobs: made(join(root, 'blobs'), 0o700, true),
    repositories: made(join(root, 'repositories'), 0o711, true),
  };
}

function startChild(config: KeeperConfig, users: KeeperUsers, file: string): ChildProcess {
  const ids = users.root
    ? [`--reuid=${users.instance.uid}`, `--regid=${users.instance.gid}`, '--clear-groups']
    : [];
  // It dies with its keeper, however that ends.
  const flags = [...ids, '--no-new-privs', '--pdeathsig', 'KILL', config.node, config.script, file];
  return spawn('setpriv', flags, {
    cwd: '/',
    env: { LC_ALL: 'C.UTF-8', NODE_ENV: 'production' },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
}

function spawnPolicy(config: KeeperConfig, users: KeeperUsers): SpawnPolicy {
  const root = join(config.state, 'instance');
  return {
    // The instance's group, so that it can read and remove what they make.
    identity: config.spawnUid === null ? null : { uid: config.spawnUid, gid: users.instance.gid },
    programs,
    bindRoots: [join(root, 'repositories')],
    maxProcesses: 16,
  };
}

type Listening = Extract<InstanceMessage, { type: 'instance.listening' }>;

/** The instance's first word, or why there is none. */
async function untilListening(child: ChildProcess): Promise<Listening> {
  return await new Promise((resolve, reject) => {
    child.on('message', (message: unknown) => {
      const parsed = instanceMessageSchema.safeParse(message);
      if (!parsed.success) return; // another vocabulary's
      if (parsed.data.type === 'instance.listening') resolve(parsed.data);
      else reject(new FumehoodError(parsed.data.error));
    });
    child.once('error', reject);
    child.once('exit', (code, signal) =>
      reject(
        new FumehoodError({
          code: 'instance_failed',
          message: `the instance ended with ${code ?? signal} before it listened`,
          remedy: 'Its log says why.',
        }),
      ),
    );
  });
}
