import { join } from 'node:path';
import { type Clock, type Identity, readConfig } from '@fumehood/base';
import { type Connection, type InstanceConfig, instanceConfigSchema } from '../config.ts';
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

const storesOfConfig = instanceConfigSchema.pick({ connection: true, directories: true }).strip();

/** Returns the stores of the instance that runs in this state directory, as its helper has told it. Errors: `config_invalid`. */
export async function runningStores(state: string): Promise<Stores> {
  const { root, instance } = instanceUsers();
  const stores = await readConfig(storesOfConfig, join(state, 'instance/config.json'));
  return { ...stores, owner: root ? instance : null };
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
  const { directories } = makeDirectories(config, users);
  const database = config.databaseUrl === null ? await startPrivateDatabase(config, users, deps) : null;
  try {
    const connection = database?.connection ?? { url: config.databaseUrl as string };
    return await use({ connection, directories, owner: users.root ? users.instance : null });
  } finally {
    await database?.stop();
  }
}
