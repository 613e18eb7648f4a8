import { readFileSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type Client, openClient } from '@fumehood/client';
import { executorFileSchema } from '@fumehood/executor';
import { instanceFileSchema } from '@fumehood/instance';
import { notRunning } from '../errors.ts';
import { readJson, type State } from '../state/state.ts';

/** A running process of Fumehood. */
export interface RunningProcess {
  readonly pid: number;
  /** Path of its script, which identifies the build. */
  readonly script: string;
}

/** Where the instance listens. */
interface Address {
  /** `unix:` and the path of its socket, for the programs of this machine. */
  readonly local: string;
  /** The URL of loopback, for people. */
  readonly url: string;
}

/** The processes that run in a state directory. */
export interface Running {
  readonly instance: (RunningProcess & Address) | null;
  readonly executor: (RunningProcess & { readonly name: string }) | null;
}

/** Finds the processes that run in a state directory, of any build. */
export function findRunning(state: State): Running {
  const instance = instanceFileSchema.safeParse(readJson(join(state.run, 'instance.json'))).data;
  const executor = executorFileSchema.safeParse(readJson(join(state.run, 'executor.json'))).data;
  const instanceScript = instance && scriptOf(state, instance.pid, 'instance-helper.mjs');
  const executorScript = executor && scriptOf(state, executor.pid, 'executor-helper.mjs');
  return {
    instance:
      instance && instanceScript
        ? { pid: instance.pid, script: instanceScript, local: `unix:${instance.socket}`, url: instance.url }
        : null,
    executor:
      executor && executorScript ? { pid: executor.pid, script: executorScript, name: executor.name } : null,
  };
}

/**
 * Returns the path of the script of this name that the process runs from the runtime directory. Returns null if the process runs
 * something else: the kernel may have given its pid to another process.
 */
export function scriptOf(state: State, pid: number, name: string): string | null {
  try {
    const [, script] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    return script?.endsWith(`/${name}`) && isSame(dirname(dirname(script)), state.runtime) ? script : null;
  } catch {
    return null;
  }
}

/** Whether two paths name the same directory, also through a symbolic link or a mount of the directory at another place. */
function isSame(one: string, other: string): boolean {
  if (one === other) return true;
  const [first, second] = [statSync(one), statSync(other)];
  return first.dev === second.dev && first.ino === second.ino;
}

/** Opens a client of an instance of this machine, with the access token of the state directory. */
export async function clientOf(state: State, { local }: Pick<Address, 'local'>): Promise<Client> {
  const token = (await readFile(join(state.run, 'token'), 'utf8')).trim();
  return openClient({ url: local, token });
}

/** Opens a client of the instance that runs in the state directory. Errors: `not_running`. */
export async function runningClient(state: State): Promise<Client> {
  const { instance } = findRunning(state);
  if (!instance) throw notRunning(state.root);
  return await clientOf(state, instance);
}
