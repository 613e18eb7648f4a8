import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type Clock, factsOf } from '@fumehood/base';
import type { Client } from '@fumehood/client';
import { executorHelperConfigSchema, type VmmSetting } from '@fumehood/executor';
import { probeThisHost } from '../doctor/probe.ts';
import { prepareRuntime, type Runtime, removeOldRuntimes } from '../runtime/runtime.ts';
import { lockState } from '../state/lock.ts';
import { makeState } from '../state/make.ts';
import { readJson, type State } from '../state/state.ts';
import { versionOfThis } from '../version.ts';
import { accountError } from './account.ts';
import { buildHostGuest } from './guest.ts';
import { stopAll, stopExecutor } from './down.ts';
import { requireVmm, type VmmOrder, vmmOfEnvironment, vmmOrder } from './vmm.ts';
import { startDaemon, untilReady } from './processes.ts';
import { type Address, clientOf, findRunning, hasEnded, type RunningProcess } from './running.ts';
import { executorHelperSettings, instanceHelperSettings, writeSettings } from './settings.ts';

export interface UpDeps {
  readonly state: State;
  readonly clock: Clock;
  /** Whether this process is root. */
  readonly root: boolean;
  /** Labels of the executor, which is restarted if it runs with others; missing: those that it runs with, or none. */
  readonly labels?: readonly string[] | undefined;
  /** The VMM of the executor, which is restarted if it runs with another order; missing: that of the environment, or the one that it runs with. */
  readonly vmm?: VmmSetting | undefined;
  readonly environment: NodeJS.ProcessEnv;
  readonly onProgress: (line: string) => void;
}

/**
 * Starts the instance and an executor unless they run, and returns a client: of an instance that runs by itself, without an executor. Builds what is missing, restarts processes of another
 * build, and waits for those that are just starting: a helper starts its process again when that dies.
 * Errors: `vmm_unavailable`, `account_missing`, `not_started`, `state_busy`, and those of `makeState` and of the builds.
 */
export async function bringUp(deps: UpDeps): Promise<Client> {
  const { state, root, onProgress } = deps;
  const alone = isAlone(state) ? findRunning(state).instance?.address : undefined;
  if (alone) return await clientOf(state, alone);
  const account = accountError();
  if (account) throw account;
  makeState(state, root);
  const unlock = await lockState(deps);
  try {
    makeState(state, root); // `clean --all` may have held the lock
    const runtime = await prepareRuntime(state, onProgress);
    let { instance, executor } = findRunning(state);
    const current = executor ? executorSettings(state) : undefined;
    const labels = deps.labels ?? current?.labels ?? [];
    const askedVmm = deps.vmm ?? vmmOfEnvironment(deps.environment);
    const order = vmmOrder(state, deps.environment, askedVmm ?? current?.vmm);
    const isAsAsked = runsAsAsked(current, { labels, vmm: askedVmm });
    if (
      (instance && instance.script !== runtime.instanceHelper) ||
      (executor && executor.script !== runtime.executorHelper)
    ) {
      onProgress('restarting the instance and the executor, which are of another build');
      await stopAll({ ...deps, drain: true });
      ({ instance, executor } = findRunning(state));
    }
    if (instance?.address && executor?.isReady && isAsAsked) return await clientOf(state, instance.address);
    await mkdir(state.run, { recursive: true, mode: 0o755 });
    await mkdir(state.vms, { recursive: true, mode: 0o700 });
    await removeOldRuntimes(state, runtime);
    if (order.setting === 'firecracker') await examineHost({ ...deps, order }, runtime);
    const { local } =
      (instance && (await startingInstance(deps, instance))) ?? (await startInstance(deps, runtime));
    const client = await clientOf(state, { local });
    if (executor && current?.instanceUrl !== local) {
      onProgress('restarting the executor: the address of the instance has changed');
      await stopExecutor(executor, { ...deps, drain: false });
      executor = null;
    } else if (executor && !isAsAsked) {
      onProgress('restarting the executor with other settings, once its running jobs have finished');
      await stopExecutor(executor, { ...deps, drain: true });
      executor = null;
    }
    if (!executor || !(await startingExecutor(deps, executor, client)))
      await startExecutor({ ...deps, labels, order }, runtime, local, client);
    return client;
  } finally {
    unlock();
  }
}

const executorSettingsSchema = executorHelperConfigSchema
  .pick({ instanceUrl: true, labels: true, vmm: true })
  .strip();
type ExecutorSettings = ReturnType<typeof executorSettingsSchema.parse>;

/** Returns the instance that the executor was started to lease from, its labels and the VMM that it was asked to use. The file has more, perhaps of another build. */
export function executorSettings(state: State): ExecutorSettings | undefined {
  return executorSettingsSchema.safeParse(readJson(executorHelperFile(state))).data;
}

/** Whether an executor with these settings has exactly these labels, in any order, and this VMM if one is asked for. */
export function runsAsAsked(
  settings: Omit<ExecutorSettings, 'instanceUrl'> | undefined,
  asked: { readonly labels: readonly string[]; readonly vmm: VmmSetting | undefined },
): boolean {
  const sorted = (labels: readonly string[] = []) => [...new Set(labels)].toSorted().join();
  const hasVmm = asked.vmm === undefined || asked.vmm === settings?.vmm;
  return hasVmm && sorted(settings?.labels) === sorted(asked.labels);
}

/** Whether `fumehood instance start` has started the instance: its executors are on other machines. */
export function isAlone(state: State): boolean {
  const settings = readJson(join(state.run, 'instance-helper.json')) as { alone?: boolean } | null;
  return settings?.alone === true;
}

const executorHelperFile = (state: State) => join(state.run, 'executor-helper.json');

/** Finds out what VMs run on here. Errors: `vmm_unavailable`, and those of the builds. */
export async function examineHost(
  deps: Pick<UpDeps, 'state' | 'clock' | 'root' | 'environment' | 'onProgress'> & {
    readonly order: VmmOrder;
  },
  runtime: Runtime,
) {
  const { state, clock, root, environment, onProgress, order } = deps;
  const guest = await buildHostGuest(deps);
  const probe = { state, clock, root, environment, runtime, guest, order, fresh: false, onProgress };
  const host = await probeThisHost(probe);
  requireVmm(order, host);
  return { guest, tiers: host.tiers, vmms: host.vmms };
}

async function startExecutor(
  deps: UpDeps & { readonly order: VmmOrder },
  runtime: Runtime,
  instanceUrl: string,
  client: Client,
): Promise<void> {
  const { state, clock, root, onProgress, labels = [], order } = deps;
  const host = await examineHost(deps, runtime);
  onProgress('starting the executor');
  const facts = { version: versionOfThis(), root, instanceUrl, labels, vmm: order.setting, ...host };
  const settings = await executorHelperSettings(state, runtime, facts);
  const config = executorHelperFile(state);
  await writeSettings(config, settings, 0o644);
  const log = logOf(state, 'executor');
  const daemon = { what: 'the executor', node: runtime.node, script: runtime.executorHelper, config, log };
  await startDaemon(daemon, clock, () => readyExecutor(state, client));
}

/** Waits until the executor of a helper that runs is ready. Resolves with null if the helper ends before. */
async function startingExecutor(
  { state, clock, onProgress }: UpDeps,
  helper: RunningProcess & { readonly isReady: boolean },
  client: Client,
): Promise<true | null> {
  if (!helper.isReady) onProgress('waiting for the executor, which is starting');
  const daemon = { what: 'the executor', log: logOf(state, 'executor') };
  const isOver = () => hasEnded(state, helper);
  return await untilReady(daemon, isOver, clock, () => readyExecutor(state, client));
}

/** Returns whether the executor's agent runs and the instance has heard of it: true, or null. */
async function readyExecutor(state: State, client: Client): Promise<true | null> {
  const { executor } = findRunning(state);
  if (!executor?.isReady) return null;
  const status = await client.status().catch((error: unknown) => {
    // PostgreSQL or the instance is starting again, after it was killed.
    if (['database_unavailable', 'instance_unreachable'].includes(factsOf(error).code)) return null;
    throw error;
  });
  return status?.executors.some(({ name }) => name === executor.name) ? true : null;
}

/** Returns the path of a process's log. */
function logOf(state: State, name: 'instance' | 'executor'): string {
  return join(state.run, 'logs', `${name}.log`);
}

/** Waits until the instance of a helper that runs is ready. Resolves with null if the helper ends before. */
async function startingInstance(
  { state, clock, onProgress }: UpDeps,
  helper: RunningProcess & { readonly address: Address | null },
): Promise<Address | null> {
  if (!helper.address) onProgress('waiting for the instance, which is starting');
  const daemon = { what: 'the instance', log: logOf(state, 'instance') };
  return await untilReady(
    daemon,
    () => hasEnded(state, helper),
    clock,
    () => readyInstance(state),
  );
}

const readyInstance = async (state: State) => findRunning(state).instance?.address ?? null;

async function startInstance({ state, clock, root, onProgress }: UpDeps, runtime: Runtime): Promise<Address> {
  onProgress('starting the instance');
  const config = join(state.run, 'instance-helper.json');
  const settings = instanceHelperSettings(state, runtime, { version: versionOfThis(), root });
  await writeSettings(config, settings, 0o600);
  const log = logOf(state, 'instance');
  const daemon = { what: 'the instance', node: runtime.node, script: runtime.instanceHelper, config, log };
  const instance = await startDaemon(daemon, clock, () => readyInstance(state));
  if (settings.port !== 0 && Number(new URL(instance.url).port) !== settings.port)
    onProgress(
      `another program uses port ${settings.port} of 127.0.0.1, so the instance is at ${instance.url} this time`,
    );
  return instance;
}
