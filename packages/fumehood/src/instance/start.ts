import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { CommandContext } from '../cli/context.ts';
import { alreadyRunning } from '../errors.ts';
import { requireNoExecutor } from '../executor/record.ts';
import { prepareRuntime } from '../runtime/runtime.ts';
import { lockState } from '../state/lock.ts';
import { makeState } from '../state/make.ts';
import { accountError } from '../up/account.ts';
import { become } from '../up/become.ts';
import { findRunning } from '../up/running.ts';
import { type AdminSettings, instanceHelperSettings, writeSettings } from '../up/settings.ts';
import { versionOfThis } from '../version.ts';

/**
 * Makes this process the instance of the state directory. `given` are settings of the command line, which come before those of
 * settings.json. Errors: `already_running`, `account_missing`, `settings_invalid`, and those of `makeState` and `lockState`.
 */
export async function becomeInstance(
  context: CommandContext,
  given: Partial<AdminSettings>,
  logFormat: { readonly logJson?: boolean },
): Promise<never> {
  const { state, root, onProgress } = context;
  const account = accountError();
  if (account) throw account;
  requireNoExecutor(state);
  makeState(state, root);
  const unlock = await lockState(context);
  try {
    makeState(state, root); // `clean --all` may have held the lock
    if (findRunning(state).instance) throw alreadyRunning('an instance', state.root);
    const runtime = await prepareRuntime(state, onProgress);
    await mkdir(state.run, { recursive: true, mode: 0o755 });
    const config = join(state.run, 'instance-helper.json');
    const settings = instanceHelperSettings(state, runtime, { version: versionOfThis(), root }, given);
    await writeSettings(config, { ...settings, alone: true }, 0o600);
    unlock();
    return become(runtime, runtime.instanceHelper, config, logFormat);
  } catch (error) {
    unlock();
    throw error;
  }
}
