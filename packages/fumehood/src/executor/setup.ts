import { mkdirSync } from 'node:fs';
import { availableParallelism, hostname } from 'node:os';
import { join } from 'node:path';
import type { ExecutorHelperSettings, Route } from '@fumehood/executor';
import { vmmMemoryMiB } from '@fumehood/microvm';
import type { Tier } from '@fumehood/protocol';
import { usage } from '../errors.ts';
import type { State } from '../state/state.ts';
import { instanceAddress } from '../target/address.ts';
import { credentialFile, readCredential, readJoined, requireUnjoined } from './record.ts';
import { routeOf } from './route.ts';
import { storeSecret } from './secret-file.ts';
import { readUpstreamVariables, type UpstreamOrder } from './upstream-variables.ts';

/** The instance that this executor leases from, and as whom. */
export interface ExecutorSetup {
  readonly instanceUrl: string;
  readonly route: Route;
  readonly credential: string;
  /** Null: the machine has joined the instance with a token. */
  readonly order: UpstreamOrder | null;
}

/**
 * Returns the instance that upstream's variables order, or else the one that this machine has joined. Says what of the variables has no effect.
 * Errors: `not_joined`; `usage` for variables that are wrong, and for both at once.
 */
export function readSetup(
  state: State,
  environment: NodeJS.ProcessEnv,
  onWarning: (line: string) => void,
): ExecutorSetup {
  const { order, warnings } = readUpstreamVariables(environment);
  for (const warning of warnings) onWarning(warning);
  if (order === null) {
    const { instanceUrl, route } = readJoined(state);
    return { instanceUrl, route, credential: readCredential(state), order };
  }
  requireUnjoined(state);
  const instanceUrl = instanceAddress(order.instanceUrl);
  const route = routeOf({ url: instanceUrl, caFile: undefined, proxy: undefined }, environment);
  return { instanceUrl, route, credential: order.password, order };
}

/** The settings of an executor's helper that say what it may use. */
type HostSettings = Pick<ExecutorHelperSettings, 'resources' | 'registries' | 'registryAuthFile'>;

/**
 * Returns what an order changes in the settings of an executor. `accept`: the tiers that an admin accepts for the jobs, which do not say it
 * themselves. Errors: `usage` if no job could run here.
 */
export function settingsOfOrder(
  order: UpstreamOrder,
  accept: readonly Tier[],
  host: HostSettings & { readonly tiers: readonly Tier[] },
): Pick<ExecutorHelperSettings, 'name' | 'queues' | 'upstream' | 'resources' | 'registries'> {
  if (!host.tiers.some((tier) => accept.includes(tier)))
    throw usage(
      `this machine offers ${host.tiers.join(', ') || 'no tier'}, and jobs of the instance run in ${accept.join(', ')} alone`,
      'Use another machine, or accept a tier that this one has: --accept TIER. `fumehood doctor` says what the tiers mean.',
    );
  const { jobs } = order;
  const largest = {
    memoryMiB: Math.floor(host.resources.memoryMiB / jobs) - vmmMemoryMiB,
    scratchMiB: Math.floor(host.resources.scratchMiB / jobs),
  };
  const cores = availableParallelism();
  const each = {
    cpus: order.cpus ?? Math.min(4, cores === 1 ? 1 : cores - (cores % 2)),
    memoryMiB: order.memoryMiB ?? Math.min(12_288, largest.memoryMiB),
    scratchMiB: order.scratchMiB ?? Math.min(20_480, largest.scratchMiB),
  };
  for (const [name, what] of [
    ['memoryMiB', 'memory'],
    ['scratchMiB', 'disk'],
  ] as const)
    if (each[name] > largest[name] || largest[name] < 128)
      throw usage(
        `this machine has ${Math.max(0, largest[name])} MiB of ${what} for each of ${jobs} jobs at once, and each needs ${Math.max(128, each[name])}`,
        'Set EXECUTOR_MAXIMUM_NUM_JOBS, EXECUTOR_JOB_MEMORY or EXECUTOR_FIRECRACKER_DISK_SPACE to less.',
      );
  return {
    name: hostname(),
    queues: order.queues,
    upstream: { accept: [...accept], resources: each, deadlineMs: order.deadlineMs },
    resources: {
      cpus: jobs * each.cpus,
      memoryMiB: jobs * (each.memoryMiB + vmmMemoryMiB),
      scratchMiB: jobs * each.scratchMiB,
    },
    registries: [
      ...(host.registries ?? []),
      ...(order.mirrors.length === 0 ? [] : [{ location: 'docker.io', mirrors: [...order.mirrors] }]),
    ],
  };
}

/** Stores the secrets of an order where the agent alone can read them. Returns what the settings say about them. */
export function storeSecrets(
  state: State,
  root: boolean,
  { password, registryAuth }: UpstreamOrder,
): Partial<Pick<ExecutorHelperSettings, 'registryAuthFile'>> {
  mkdirSync(state.run, { recursive: true, mode: 0o755 });
  storeSecret(credentialFile(state), root, `${password}\n`);
  if (registryAuth === null) return {};
  const registryAuthFile = join(state.run, 'executor-registry-auth.json');
  storeSecret(registryAuthFile, root, registryAuth);
  return { registryAuthFile };
}
