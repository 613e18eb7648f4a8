import { readdirSync, readFileSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { type Client, openClient } from '@fumehood/client';
import { executorFileSchema, executorHelperConfigSchema } from '@fumehood/executor';
import { instanceFileSchema } from '@fumehood/instance';
import { notRunning, stillStarting, tokenUnreadable } from '../errors.ts';
import { currentPrograms } from '../runtime/runtime.ts';
import { readJson, type State } from '../state/state.ts';

/** A running process of Fumehood. */
export interface RunningProcess {
  readonly pid: number;
  /** Path of its script, which identifies the build. */
  readonly script: string;
}

/** Where the instance listens. */
export interface Address {
  /** `unix:` and the path of its socket, for the programs of this machine. */
  readonly local: string;
  /** The URL of loopback, for people. */
  readonly url: string;
}

/** The processes that run in a state directory: the helpers, also while the processes that they start are not ready. */
export interface Running {
  readonly instance:
    | (RunningProcess & { /** Null while the instance starts. */ readonly address: Address | null })
    | null;
  readonly executor:
    | (RunningProcess & {
        readonly name: string;
        /** Its agent runs. */
        readonly isReady: boolean;
        /** The instance has accepted a heartbeat of the agent. */
        readonly isConnected: boolean;
      })
    | null;
}

const executorName = executorHelperConfigSchema.pick({ name: true }).strip();

/** Finds the processes that run in a state directory, of any build. */
export function findRunning(state: State): Running {
  const instanceFile = instanceFileSchema.safeParse(readJson(join(state.run, 'instance.json'))).data;
  const executorFile = executorFileSchema.safeParse(readJson(join(state.run, 'executor.json'))).data;
  const instance = findHelper(state, 'instance-helper.mjs', instanceFile?.pid);
  const executor = findHelper(state, 'executor-helper.mjs', executorFile?.pid);
  const settings = executorName.safeParse(readJson(join(state.run, 'executor-helper.json'))).data;
  // A file whose pid is another one is of a helper that was killed.
  const agentPid = executorFile?.pid === executor?.pid ? executorFile?.agentPid : undefined;
  return {
    instance: instance && {
      ...instance,
      address:
        instanceFile?.pid === instance.pid
          ? { local: `unix:${instanceFile.socket}`, url: instanceFile.url }
          : null,
    },
    executor: executor && {
      ...executor,
      name: settings?.name ?? 'unknown',
      isReady: agentPid !== undefined && scriptOf(state, agentPid, 'agent.mjs') !== null,
      isConnected: agentPid !== undefined && executorFile?.connected === true,
    },
  };
}

/**
 * Finds the helper that runs this script. Its file does not always name it: the helper writes the file when the process that it
 * starts is ready, and the executor's removes it when the agent has died.
 */
function findHelper(state: State, name: string, recordedPid: number | undefined): RunningProcess | null {
  const all = () =>
    readdirSync('/proc')
      .filter((entry) => /^\d+$/.test(entry))
      .map(Number);
  for (const pids of [() => [recordedPid ?? 0], all])
    for (const pid of pids()) {
      const script = scriptOf(state, pid, name);
      if (script !== null) return { pid, script };
    }
  return null;
}

/**
 * Returns the path of the script of this name that the process runs from the runtime directory. Returns null if the process runs
 * something else: the kernel may have given its pid to another process.
 */
function scriptOf(state: State, pid: number, name: string): string | null {
  try {
    const [, script] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    return script?.endsWith(`/${name}`) && isSame(dirname(dirname(script)), state.runtime) ? script : null;
  } catch {
    return null;
  }
}

/** Returns whether a process that was found has ended. */
export function hasEnded(state: State, { pid, script }: RunningProcess): boolean {
  return scriptOf(state, pid, basename(script)) !== script;
}

/** Whether two paths name the same directory, also through a symbolic link or a mount of the directory at another place. */
function isSame(one: string, other: string): boolean {
  if (one === other) return true;
  const [first, second] = [statSync(one), statSync(other)];
  return first.dev === second.dev && first.ino === second.ino;
}

/** Opens a client of an instance of this machine, with the access token of the state directory. Errors: `token_unreadable`. */
export async function clientOf(state: State, { local }: Pick<Address, 'local'>): Promise<Client> {
  const file = join(state.run, 'token');
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw error.code === 'EACCES' ? tokenUnreadable(file, local) : error;
  });
  return openClient({ url: local, token: text.trim() });
}

/**
 * Opens a client of the instance if it and an executor of this build run and are ready; null if something has to be started first. It
 * takes no lock: a command that uses what runs need not wait for others that do so at the same moment.
 */
export async function readyClient(state: State): Promise<Client | null> {
  const { instance, executor } = findRunning(state);
  if (!instance?.address || !executor?.isReady) return null;
  const current = await currentPrograms(state);
  const isCurrent = [instance, executor].every(({ script }) => dirname(script) === current);
  return isCurrent ? await clientOf(state, instance.address) : null;
}

/**
 * Opens a client of the instance that runs in the state directory, with this token; null: with that of the state directory. Errors:
 * `not_running`, `still_starting`, `token_unreadable`.
 */
export async function runningClient(state: State, token: string | null): Promise<Client> {
  const { instance } = findRunning(state);
  if (!instance) throw notRunning(state.root);
  const { address } = instance;
  if (!address) throw stillStarting(state.root);
  return token === null ? await clientOf(state, address) : openClient({ url: address.local, token });
}
