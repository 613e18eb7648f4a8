import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Client, openClient } from '@fumehood/client';
import { executorFileSchema } from '@fumehood/executor';
import { instanceFileSchema } from '@fumehood/instance';
import { notRunning } from '../errors.ts';
import { readJson, type State } from '../state/state.ts';

/** A process of ours that runs now. */
export interface RunningProcess {
  readonly pid: number;
  /** The script that it runs: tells one build from another. */
  readonly script: string;
}

export interface Running {
  readonly instance: (RunningProcess & { readonly url: string }) | null;
  readonly executor: (RunningProcess & { readonly name: string }) | null;
}

/** What runs in a state directory, whatever build it is of. */
export function findRunning(state: State): Running {
  const instance = instanceFileSchema.safeParse(readJson(join(state.run, 'instance.json'))).data;
  const executor = executorFileSchema.safeParse(readJson(join(state.run, 'executor.json'))).data;
  const instanceScript = instance && scriptOf(state, instance.pid, 'instance-helper.mjs');
  const executorScript = executor && scriptOf(state, executor.pid, 'executor-helper.mjs');
  return {
    instance:
      instance && instanceScript ? { pid: instance.pid, script: instanceScript, url: instance.url } : null,
    executor:
      executor && executorScript ? { pid: executor.pid, script: executorScript, name: executor.name } : null,
  };
}

/** The script of this name that the process runs from our runtime directory, or null: a pid may long be another's. */
export function scriptOf(state: State, pid: number, name: string): string | null {
  try {
    const [, script] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    return script?.startsWith(`${state.runtime}/`) && script.endsWith(`/${name}`) ? script : null;
  } catch {
    return null;
  }
}

/** The client of an instance at this URL, with the token of this state directory. */
export async function clientOf(state: State, url: string): Promise<Client> {
  const token = (await readFile(join(state.run, 'token'), 'utf8')).trim();
  return openClient({ url, token });
}

/** The client of the instance that runs here. Errors: `not_running`. */
export async function runningClient(state: State): Promise<Client> {
  const { instance } = findRunning(state);
  if (!instance) throw notRunning(state.root);
  return await clientOf(state, instance.url);
}
