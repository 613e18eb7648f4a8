import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { CommandContext } from '../cli/context.ts';
import { alreadyRunning } from '../errors.ts';
import type { Tier } from '@fumehood/protocol';
import { prepareRuntime, removeOldRuntimes } from '../runtime/runtime.ts';
import { lockState } from '../state/lock.ts';
import { makeState } from '../state/make.ts';
import type { State } from '../state/state.ts';
import { become } from '../up/become.ts';
import { findRunning } from '../up/running.ts';
import { executorHelperSettings, writeSettings } from '../up/settings.ts';
import { examineHost } from '../up/up.ts';
import { vmmOrder } from '../up/vmm.ts';
import { versionOfThis } from '../version.ts';
import { readJoined } from './record.ts';
import { type ExecutorSetup, readSetup, settingsOfOrder, storeSecrets } from './setup.ts';

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
 * Returns the settings of the helper of an executor with this setup, and its runtime. `accept`: the tiers that are accepted for jobs that an
 * order brings. Errors: those of `prepareExecutor` and `settingsOfOrder`.
 */
export async function executorSettings(
  context: CommandContext,
  { instanceUrl, route, order }: ExecutorSetup,
  accept: readonly Tier[],
) {
  const { state, root } = context;
  const { runtime, ...host } = await prepareExecutor(context);
  const facts = { version: versionOfThis(), root, instanceUrl, labels: [], ...host };
  const settings = await executorHelperSettings(state, runtime, facts);
  const ofInstance =
    order === null
      ? joinedSettings(state)
      : settingsOfOrder(order, accept, { ...settings, tiers: host.tiers });
  return { runtime, settings: { ...settings, ...ofInstance, route } };
}

function joinedSettings(state: State) {
  const { name, queues, labels } = readJoined(state);
  return { name, queues, labels };
}

/**
 * Makes this process the executor of the instance that this machine has joined, or that upstream's variables order; `accept`: the tiers
 * that are accepted for the jobs of the latter. Errors: those of `readSetup` and `executorSettings`, `already_running`, and those of
 * `makeState` and `lockState`.
 */
export async function becomeExecutor(
  context: CommandContext,
  { accept, ...logFormat }: { readonly accept: readonly Tier[]; readonly logJson?: boolean },
): Promise<never> {
  const { state, root, environment, onProgress } = context;
  const setup = readSetup(state, environment, onProgress);
  makeState(state, root);
  const unlock = await lockState(context);
  try {
    if (findRunning(state).executor) throw alreadyRunning('an executor', state.root);
    const { runtime, settings } = await executorSettings(context, setup, accept);
    await removeOldRuntimes(state, runtime);
    const secrets = setup.order === null ? {} : storeSecrets(state, root, setup.order);
    const config = join(state.run, 'executor-helper.json');
    await writeSettings(config, { ...settings, ...secrets }, 0o644);
    unlock();
    return become(runtime, runtime.executorHelper, config, logFormat);
  } catch (error) {
    unlock();
    throw error;
  }
}
