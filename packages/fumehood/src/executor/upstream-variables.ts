import { registryAuthsSchema } from '@fumehood/oci';
import type { QueueName } from '@fumehood/protocol';
import { usage } from '../errors.ts';
import { goBoolean, goDurationMs, sizeMiB } from './upstream-values.ts';
import { insteadOf } from './variables-without-effect.ts';

/** What the variables of upstream's executors order: to lease from an instance of upstream's kind. */
export interface UpstreamOrder {
  readonly instanceUrl: string;
  /** The secret that all executors of the instance share. */
  readonly password: string;
  /** One queue by its own route, or several by the route of several. */
  readonly queues: QueueName | QueueName[];
  /** How many jobs run at once. */
  readonly jobs: number;
  /** What each job gets; null: upstream's default, or less where the machine has less. */
  readonly cpus: number | null;
  readonly memoryMiB: number | null;
  readonly scratchMiB: number | null;
  /** Wall time of the steps of a job together. */
  readonly deadlineMs: number;
  /** Locations of mirrors of Docker Hub, in the order in which they are asked. */
  readonly mirrors: readonly { readonly location: string; readonly insecure: boolean }[];
  /** Docker's `config.json` with credentials for registries. */
  readonly registryAuth: string | null;
}

const queueNames = ['batches', 'codeintel'] as const;
const isQueue = (name: string): name is (typeof queueNames)[number] =>
  (queueNames as readonly string[]).includes(name);

/** Variables that order it, each of which makes the others necessary. */
const ordering = [
  'EXECUTOR_FRONTEND_URL',
  'EXECUTOR_FRONTEND_PASSWORD',
  'EXECUTOR_QUEUE_NAME',
  'EXECUTOR_QUEUE_NAMES',
] as const;
/** Variables that say more about it. */
const describing = [
  'EXECUTOR_MAXIMUM_NUM_JOBS',
  'EXECUTOR_MAXIMUM_RUNTIME_PER_JOB',
  'EXECUTOR_USE_FIRECRACKER',
  'EXECUTOR_FIRECRACKER_DISK_SPACE',
  'EXECUTOR_JOB_NUM_CPUS',
  'EXECUTOR_FIRECRACKER_NUM_CPUS',
  'EXECUTOR_JOB_MEMORY',
  'EXECUTOR_FIRECRACKER_MEMORY',
  'EXECUTOR_DOCKER_REGISTRY_MIRROR_URL',
  'EXECUTOR_DOCKER_AUTH_CONFIG',
] as const;
type Variable = (typeof ordering | typeof describing)[number];
const known: ReadonlySet<string> = new Set([...ordering, ...describing]);

/**
 * Reads the environment variables of upstream's executors. Returns what they order, null if they order nothing, and a warning for each
 * variable that has no effect. An empty variable counts as one that is not set, as for upstream's executors. Errors: `usage`, which
 * names all variables that are wrong.
 */
export function readUpstreamVariables(environment: NodeJS.ProcessEnv): {
  readonly order: UpstreamOrder | null;
  readonly warnings: string[];
} {
  const set = Object.keys(environment).filter((name) => environment[name] !== '');
  const warnings = set.toSorted().flatMap((name) => {
    const instead = known.has(name) ? null : insteadOf(name);
    return instead === null ? [] : [`${name} has no effect: ${instead}`];
  });
  if (!ordering.some((name) => set.includes(name))) {
    const useless = describing.filter((name) => set.includes(name));
    const why = 'has no effect without EXECUTOR_FRONTEND_URL: it is about jobs of an upstream instance';
    return { order: null, warnings: [...warnings, ...useless.map((name) => `${name} ${why}`)] };
  }
  const wrong: string[] = [];
  const read = readerOf(environment, wrong);
  const useFirecracker = read('EXECUTOR_USE_FIRECRACKER', true, goBoolean, 'true or false');
  if (!useFirecracker)
    warnings.push(
      'EXECUTOR_USE_FIRECRACKER=false has no effect: every job runs in a virtual machine; FUMEHOOD_VMM says on which VMM',
    );
  const order = {
    instanceUrl: read('EXECUTOR_FRONTEND_URL', null, instanceUrl, 'https://HOST[:PORT], without a path'),
    password: read('EXECUTOR_FRONTEND_PASSWORD', null, secret, 'a secret of printable ASCII without blanks'),
    queues: readQueues(environment, wrong),
    jobs: read('EXECUTOR_MAXIMUM_NUM_JOBS', 1, count, 'a whole number above 0'),
    cpus: readEither(
      read,
      'EXECUTOR_JOB_NUM_CPUS',
      'EXECUTOR_FIRECRACKER_NUM_CPUS',
      cpus,
      '1 or an even number',
    ),
    memoryMiB: readEither(
      read,
      'EXECUTOR_JOB_MEMORY',
      'EXECUTOR_FIRECRACKER_MEMORY',
      sizeMiB,
      'a size such as 12G',
    ),
    scratchMiB: read('EXECUTOR_FIRECRACKER_DISK_SPACE', undefined, sizeMiB, 'a size such as 20G') ?? null,
    deadlineMs: read(
      'EXECUTOR_MAXIMUM_RUNTIME_PER_JOB',
      1_800_000,
      deadline,
      'a duration above 0 such as 30m',
    ),
    mirrors: read(
      'EXECUTOR_DOCKER_REGISTRY_MIRROR_URL',
      [],
      mirrorsOf,
      'https://HOST[:PORT], or several with commas',
    ),
    registryAuth:
      read('EXECUTOR_DOCKER_AUTH_CONFIG', undefined, authConfig, '{"auths": {"HOST": {"auth": "BASE64"}}}') ??
      null,
  };
  if (wrong.length > 0)
    throw usage(
      `these environment variables are wrong:\n${wrong.join('\n')}`,
      'docs/executor-variables.md lists the variables. Unset all of them for an executor that joins with a token.',
    );
  return { order: order as UpstreamOrder, warnings };
}

type Read = <T, D>(
  name: Variable,
  unset: D,
  parse: (text: string) => T | null,
  allowed: string,
) => T | D | null;

/** Returns a function that reads one variable. With `unset` null the variable is necessary. What is wrong goes to `wrong`. */
function readerOf(environment: NodeJS.ProcessEnv, wrong: string[]): Read {
  return (name, unset, parse, allowed) => {
    const text = environment[name];
    if (text === undefined || text === '') {
      if (unset === null) wrong.push(`${name} is not set; it has to be ${allowed}`);
      return unset;
    }
    const value = parse(text);
    // Not the value: it may be a secret.
    if (value === null) wrong.push(`${name} has to be ${allowed}`);
    return value;
  };
}

/** Reads a variable, or the one that older executors have in its place. Returns null if neither is set. */
function readEither<T>(
  read: Read,
  name: Variable,
  former: Variable,
  parse: (text: string) => T | null,
  allowed: string,
): T | null {
  return read(name, undefined, parse, allowed) ?? read(former, undefined, parse, allowed) ?? null;
}

function readQueues(environment: NodeJS.ProcessEnv, wrong: string[]): UpstreamOrder['queues'] {
  const one = environment.EXECUTOR_QUEUE_NAME ?? '';
  const several = environment.EXECUTOR_QUEUE_NAMES ?? '';
  const allowed = queueNames.join(' or ');
  if (one !== '' && several !== '') wrong.push('EXECUTOR_QUEUE_NAME and EXECUTOR_QUEUE_NAMES are both set');
  else if (one === '' && several === '')
    wrong.push(`neither EXECUTOR_QUEUE_NAME nor EXECUTOR_QUEUE_NAMES is set; one has to name ${allowed}`);
  else if (one !== '') {
    if (isQueue(one)) return one;
    wrong.push(`EXECUTOR_QUEUE_NAME has to be ${allowed}`);
  } else {
    const names = several.split(',');
    if (names.every(isQueue)) return names;
    wrong.push(`EXECUTOR_QUEUE_NAMES has to be ${allowed}, or both with a comma and no blank`);
  }
  return [];
}

function instanceUrl(text: string): string | null {
  const url = URL.parse(text);
  if (!url || !/^https?:$/.test(url.protocol) || url.host === '') return null;
  return text.replace(/\/$/, '') === `${url.protocol}//${url.host}` ? url.origin : null;
}

const secret = (text: string) => (/^[\x21-\x7e]{1,1000}$/.test(text) ? text : null);
const count = (text: string) => (/^[1-9]\d{0,3}$/.test(text) ? Number(text) : null);
const cpus = (text: string) => (/^(1|\d{0,2}[02468])$/.test(text) && Number(text) > 0 ? Number(text) : null);
const deadline = (text: string) => goDurationMs(text) || null;

function mirrorsOf(text: string): UpstreamOrder['mirrors'] | null {
  const mirrors = text.split(',').map((entry) => {
    const url = URL.parse(entry.trim());
    if (!url || !/^https?:$/.test(url.protocol) || url.username !== '' || url.search !== '') return null;
    return {
      location: `${url.host}${url.pathname.replace(/\/+$/, '')}`,
      insecure: url.protocol === 'http:',
    };
  });
  return mirrors.some((mirror) => mirror === null) ? null : (mirrors as UpstreamOrder['mirrors']);
}

function authConfig(text: string): string | null {
  try {
    const { auths } = JSON.parse(text) as { auths: unknown };
    return JSON.stringify({ auths: registryAuthsSchema.parse(auths) });
  } catch {
    return null;
  }
}
