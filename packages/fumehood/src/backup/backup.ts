import { existsSync, readFileSync } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import {
  type BackupFacts,
  instanceHelperConfigSchema,
  runningStores,
  type Stores,
  withStores,
  writeBackup,
} from '@fumehood/instance';
import type { CommandContext } from '../cli/context.ts';
import { backupUnwritable, nothingToBackUp, stillStarting } from '../errors.ts';
import { prepareRuntime } from '../runtime/runtime.ts';
import { lockState } from '../state/lock.ts';
import { readJson, type State } from '../state/state.ts';
import { findRunning } from '../up/running.ts';
import { instanceHelperSettings } from '../up/settings.ts';
import { versionOfThis } from '../version.ts';
import { byteLines } from './progress.ts';

/** What the last start of an instance has written of its database. */
const lastStart = instanceHelperConfigSchema.pick({ databaseUrl: true }).strip();

/** Returns the URL of the database that the instance of the state directory was started with; undefined if none ever was. */
export function lastDatabaseUrl(state: State): string | null | undefined {
  return lastStart.safeParse(readJson(join(state.run, 'instance-helper.json'))).data?.databaseUrl;
}

/** Returns the file with the key of the instance's secrets that the first start makes. */
export function keyFileOf({ run }: State): string {
  return join(run, 'secrets-key');
}

/**
 * Writes a backup of the instance of the state directory to a file, whether it runs or not. The file has its name only when it is whole
 * and synced. Errors: `nothing_to_back_up`, `still_starting`, `backup_unwritable`, and those of `writeBackup`, `withStores` and `lockState`.
 */
export async function backUp(
  context: CommandContext,
  path: string,
  { withKeys }: { readonly withKeys: boolean },
): Promise<BackupFacts> {
  const { state, root, onProgress, clock, environment } = context;
  const databaseUrl = lastDatabaseUrl(state);
  if (databaseUrl === undefined) throw nothingToBackUp(state.root);
  const keyFile = keyFileOf(state);
  const key = withKeys && existsSync(keyFile) ? readFileSync(keyFile) : null;
  if (!withKeys && existsSync(keyFile))
    onProgress(
      `the backup does not have the key of the instance's secrets: keep a copy of ${keyFile} elsewhere, or use --with-keys`,
    );
  const write = (stores: Stores) => writeWhole(resolve(path), stores, key, onProgress);
  const { instance } = findRunning(state);
  if (instance && !instance.address) throw stillStarting(state.root);
  if (instance) return await write(await runningStores(state.root));
  const unlock = await lockState(context);
  try {
    const runtime = await prepareRuntime(state, onProgress);
    const settings = instanceHelperSettings(
      state,
      runtime,
      { version: versionOfThis(), root },
      { databaseUrl },
    );
    const config = instanceHelperConfigSchema.parse(settings);
    return await withStores(config, { clock, searchPath: environment.PATH ?? '' }, write);
  } finally {
    unlock();
  }
}

async function writeWhole(
  path: string,
  stores: Stores,
  key: Buffer | null,
  note: (line: string) => void,
): Promise<BackupFacts> {
  const partial = `${path}.partial`;
  await rm(partial, { force: true }); // of a backup that was killed
  const file = await open(partial, 'wx', 0o600).catch((error: Error) => {
    throw backupUnwritable(path, error.message);
  });
  try {
    const source = { ...stores, key, version: versionOfThis() };
    const facts = await asOwner(stores, () => writeBackup(file, source, byteLines('wrote', note)));
    await file.sync();
    await rename(partial, path);
    await syncDirectory(dirname(path));
    return facts;
  } catch (error) {
    await rm(partial, { force: true });
    throw error;
  } finally {
    await file.close();
  }
}

/** Runs `run` with the rights of the instance's user: it opens files below directories in which that user could have put links. */
async function asOwner<T>({ owner }: Stores, run: () => Promise<T>): Promise<T> {
  if (!owner) return await run();
  const { setgroups, setegid, seteuid } = process as Required<typeof process>;
  const groups = process.getgroups?.() ?? [];
  setgroups([]);
  setegid(owner.gid);
  seteuid(owner.uid);
  try {
    return await run();
  } finally {
    seteuid(0);
    setegid(0);
    setgroups(groups);
  }
}

async function syncDirectory(path: string): Promise<void> {
  await using directory = await open(path, 'r');
  await directory.sync();
}
