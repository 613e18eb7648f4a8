import { join } from 'node:path';
import type { Clock, Identity } from '@fumehood/base';
import type { Connection, InstanceConfig } from '../config.ts';
import { privateConnection } from '../db/server/start.ts';
import type { HelperConfig } from '../helper/config.ts';
import { makeDirectories } from '../helper/directories.ts';
import { startPrivateDatabase } from '../helper/helper.ts';
import { instanceUsers } from '../helper/users.ts';

/** Where an instance stores everything. */
export interface Stores {
  readonly connection: Connection;
  readonly directories: InstanceConfig['directories'];
  /** The user of the instance; null: this process's. */
  readonly owner: Identity | null;
}

/** Returns the stores of an instance that runs. */
export function runningStores({ state, databaseUrl }: Pick<HelperConfig, 'state' | 'databaseUrl'>): Stores {
  const { root, instance } = instanceUsers();
  return {
    connection: databaseUrl === null ? privateConnection(join(state, 'postgres')) : { url: databaseUrl },
    directories: {
      blobs: join(state, 'instance/blobs'),
      repositories: join(state, 'instance/repositories'),
    },
    owner: root ? instance : null,
  };
}

/**
 * Runs `use` with the stores of an instance that does not run: makes its directories and starts its private PostgreSQL for this time.
 * Errors: `user_failed`, those of `startDatabase` and of `use`.
 */
export async function withStores<T>(
  config: HelperConfig,
  deps: { readonly clock: Clock; readonly searchPath: string },
  use: (stores: Stores) => Promise<T>,
): Promise<T> {
  const users = instanceUsers();
  makeDirectories(config, users);
  const database = config.databaseUrl === null ? await startPrivateDatabase(config, users, deps) : null;
  try {
    return await use(runningStores(config));
  } finally {
    await database?.stop();
  }
}
