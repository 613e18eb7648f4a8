import { statSync } from 'node:fs';
import { mkdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import {
  type BackupContents,
  checkBackup,
  instanceHelperConfigSchema,
  restoreBackup,
  type Stores,
  withStores,
} from '@fumehood/instance';
import type { CommandContext } from '../cli/context.ts';
import { backupUnreadable, stillRunning } from '../errors.ts';
import { settingsOf } from '../instance/options.ts';
import { prepareRuntime } from '../runtime/runtime.ts';
import { lockState } from '../state/lock.ts';
import { makeState } from '../state/make.ts';
import type { State } from '../state/state.ts';
import { accountError } from '../up/account.ts';
import { findRunning } from '../up/running.ts';
import { adminSettings, instanceHelperSettings } from '../up/settings.ts';
import { versionOfThis } from '../version.ts';
import { keyFileOf, lastDatabaseUrl } from './backup.ts';
import { byteLines } from './progress.ts';

/**
 * Restores a backup into the instance of the state directory, which must be new or empty and not run. Errors: `backup_unreadable`,
 * `still_running`, `account_missing`, and those of `checkBackup`, `restoreBackup`, `makeState` and `lockState`.
 */
export async function restore(context: CommandContext, path: string): Promise<BackupContents> {
  const { state, root, onProgress, clock, environment } = context;
  const { size } = await stat(path).catch((error: Error) => {
    throw backupUnreadable(path, error.message);
  });
  const account = accountError();
  if (account) throw account;
  const given = settingsOf({}, environment);
  makeState(state, root);
  const unlock = await lockState(context);
  try {
    makeState(state, root); // `clean --all` may have held the lock
    const { instance, executor } = findRunning(state);
    if (instance || executor) throw stillRunning(state.root);
    const runtime = await prepareRuntime(state, onProgress);
    const contents = await checkBackup(path, runtime.migrations, byteLines('checked', onProgress, size));
    const databaseUrl =
      given.databaseUrl ?? adminSettings(state).databaseUrl ?? lastDatabaseUrl(state) ?? null;
    const settings = instanceHelperSettings(
      state,
      runtime,
      { version: versionOfThis(), root },
      { databaseUrl },
    );
    const config = instanceHelperConfigSchema.parse(settings);
    await mkdir(state.run, { recursive: true, mode: 0o755 });
    await withStores(config, { clock, searchPath: environment.PATH ?? '' }, (stores) =>
      restoreBackup(
        path,
        contents,
        {
          ...stores,
          migrations: runtime.migrations,
          staging: stagingOf(state, stores),
          keyFile: keyFileOf(state),
        },
        byteLines('restored', onProgress, size),
      ),
    );
    return contents;
  } finally {
    unlock();
  }
}

/** Files are staged on the disk of their place: in `run/`, or beside them where replicas share a disk. */
function stagingOf({ run }: State, { directories: { blobs } }: Stores): string {
  const parent = statSync(run).dev === statSync(blobs).dev ? run : dirname(blobs);
  return join(parent, 'restore');
}
