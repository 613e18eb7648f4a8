import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { type Helper, type SuperviseDeps, supervise } from '@fumehood/base';
import type { Connection, InstanceConfig } from '../config.ts';
import { type Database, startDatabase } from '../db/server/start.ts';
import { type RunningInstance, startInstanceProcess } from './child.ts';
import type { HelperConfig, InstanceFile } from './config.ts';
import { type Directories, makeDirectories } from './directories.ts';
import { ensureSecret, ensureSecretsKey, writeAtomically } from './secrets.ts';
import { shareSecrets } from './share.ts';
import { type InstanceUsers, instanceUsers } from './users.ts';

interface HelperDeps extends SuperviseDeps {
  readonly searchPath: string;
}

/**
 * Starts the instance's helper, its only process with privilege: it starts PostgreSQL and the instance, each as its own user, and
 * starts them again when they die. Errors: `user_failed`, and those of `startDatabase` and `startInstanceProcess`.
 */
export async function startHelper(config: HelperConfig, deps: HelperDeps): Promise<Helper> {
  const users = instanceUsers();
  const directories = makeDirectories(config, users);
  if (config.shared !== null) shareSecrets(config, config.shared, users.root ? users.instance : null);
  const database =
    config.databaseUrl === null
      ? await supervise('PostgreSQL', () => startPrivateDatabase(config, users, deps), deps)
      : null;
  const connection: Connection = database?.first.connection ?? { url: config.databaseUrl as string };
  const file = join(config.state, 'run/instance.json');
  const start = async (first: RunningInstance | null) => {
    const instanceConfig = instanceConfigOf(config, directories, connection, users);
    // An instance that is started again gets the same port, if it is free: executors and people have its URL.
    const port = first?.listening.port ?? config.port;
    const started = await startInstanceProcess(config, { ...instanceConfig, port }, users, deps.clock);
    const { url } = started.listening;
    const facts: InstanceFile = { socket: directories.socket, url, pid: process.pid };
    try {
      writeAtomically(file, JSON.stringify(facts), 0o644);
    } catch (error) {
      await started.stop(); // otherwise the next start would make a second instance
      throw error;
    }
    return started;
  };
  const instance = await supervise('the instance', start, deps).catch(async (error: unknown) => {
    await database?.stop();
    throw error;
  });
  return {
    async stop() {
      await instance.stop();
      rmSync(file, { force: true });
      await database?.stop();
    },
  };
}

function instanceConfigOf(
  config: HelperConfig,
  directories: Directories,
  connection: Connection,
  users: InstanceUsers,
): InstanceConfig {
  const { version, migrations, port, hosts, tls, plain, url, upstream, compatibility, retention } = config;
  const { state, executor } = config;
  return {
    ...{ version, connection, migrations, ...directories, port, hosts, tls, plain, url, upstream },
    ...{ compatibility, retention },
    accessTokenSha256: ensureSecret(join(state, 'run/token'), null),
    executorCredentialSha256: ensureSecret(join(state, 'run/executor-credential'), executor),
    secretsKeyFile: config.secretsKeyFile ?? ownSecretsKey(state, users),
  };
}

/** Returns the file with the key of the instance's secrets, which the first start makes. */
function ownSecretsKey(state: string, { root, instance }: InstanceUsers): string {
  const file = join(state, 'run/secrets-key');
  ensureSecretsKey(file, root ? instance : null);
  return file;
}

/** Starts the private PostgreSQL of the state directory. Errors: those of `startDatabase`. */
export async function startPrivateDatabase(
  config: HelperConfig,
  users: InstanceUsers,
  { searchPath, clock }: Pick<HelperDeps, 'searchPath' | 'clock'>,
): Promise<Database> {
  return await startDatabase(
    {
      directory: join(config.state, 'postgres'),
      runAs: users.postgres,
      admin: users.admin,
      owner: users.instance.name,
      searchPath,
      embeddedPackage: config.embeddedPostgres,
    },
    clock,
  );
}
