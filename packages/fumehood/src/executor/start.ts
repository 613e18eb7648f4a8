import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { CommandContext } from '../cli/context.ts';
import { alreadyRunning } from '../errors.ts';
import { prepareRuntime } from '../runtime/runtime.ts';
import { lockState } from '../state/lock.ts';
import { makeState } from '../state/make.ts';
import { become } from '../up/become.ts';
import { findRunning } from '../up/running.ts';
import { executorHelperSettings, writeSettings } from '../up/settings.ts';
import { examineHost } from '../up/up.ts';
import { vmmOrder } from '../up/vmm.ts';
import { versionOfThis } from '../version.ts';
import { readJoined } from './record.ts';

/**
 * Prepares what an executor of this machine needs: its programs, the guest image, and a canary that has booted. Errors: `vmm_unavailable`, and
 * those of `makeState` and of the builds.
 */
export async function prepareExecutor(context: CommandContext) {
  const { state, root, onProgress } = context;
  makeState(state, root);
  const runtime = await prepareRuntime(state, onProgress);
  await mkdir(state.run, { recursive: true, mode: 0o755 });
  await mkdir(state.vms, { recursive: true, mode: 0o700 });
  const order = vmmOrder(state, process.env, undefined);
  const host = await examineHost({ ...context, environment: process.env, order }, runtime);
  return { runtime, vmm: order.setting, ...host };
}

/**
 * Makes this process the executor of the instance that this machine has joined. Errors: `not_joined`, `already_running`, and those of
 * `makeState`, `lockState` and of the builds.
 */
export async function becomeExecutor(
  context: CommandContext,
  logFormat: { readonly logJson?: boolean },
): Promise<never> {
  const { state, root } = context;
  const { instanceUrl, route, name, queues, labels } = readJoined(state);
  makeState(state, root);
  const unlock = await lockState(context);
  try {
    if (findRunning(state).executor) throw alreadyRunning('an executor', state.root);
    const { runtime, ...host } = await prepareExecutor(context);
    const facts = { version: versionOfThis(), root, instanceUrl, labels, ...host };
    const settings = await executorHelperSettings(state, runtime, facts);
    const config = join(state.run, 'executor-helper.json');
    await writeSettings(config, { ...settings, name, queues, route }, 0o644);
    unlock();
    return become(runtime, runtime.executorHelper, config, logFormat);
  } catch (error) {
    unlock();
    throw error;
  }
}
