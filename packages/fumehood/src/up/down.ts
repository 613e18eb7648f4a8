import type { Clock } from '@fumehood/base';
import type { State } from '../state/state.ts';
import { findRunning, type RunningProcess, scriptOf } from './running.ts';

/** Jobs that run may take this long to stop, and the database to close. */
const patienceMs = 30_000;

interface DownDeps {
  readonly state: State;
  readonly clock: Clock;
  readonly drain: boolean;
  readonly onProgress: (line: string) => void;
}

/**
 * Stops what runs in a state directory: the executor first, so that its jobs' ends can be told. `drain`: jobs may finish, for as
 * long as they take. Returns what was stopped.
 */
export async function stopAll(deps: DownDeps): Promise<readonly ('instance' | 'executor')[]> {
  const { state, clock, onProgress } = deps;
  const { executor, instance } = findRunning(state);
  if (executor) await stopExecutor(executor, deps);
  if (instance) {
    onProgress('stopping the instance');
    signal(instance, 'SIGTERM');
    await ended(state, instance, clock, patienceMs);
  }
  return [...(executor ? (['executor'] as const) : []), ...(instance ? (['instance'] as const) : [])];
}

/** Stops the executor alone. */
export async function stopExecutor(executor: RunningProcess, deps: DownDeps): Promise<void> {
  const { state, clock, drain, onProgress } = deps;
  onProgress('stopping the executor');
  signal(executor, 'SIGTERM');
  // The first one drains, the second one stops its jobs.
  if (!drain) setTimeout(() => signal(executor, 'SIGTERM'), 100);
  await ended(state, executor, clock, drain ? Infinity : patienceMs);
}

function signal(running: RunningProcess, name: NodeJS.Signals): void {
  try {
    process.kill(running.pid, name);
  } catch {
    // it has ended
  }
}

/** Its children die with it, so that the hard way leaves no process either. */
async function ended(state: State, running: RunningProcess, clock: Clock, ms: number): Promise<void> {
  const giveUpAt = clock.bootTime() + ms;
  const name = running.script.slice(running.script.lastIndexOf('/') + 1);
  while (scriptOf(state, running.pid, name) === running.script) {
    if (clock.bootTime() > giveUpAt) signal(running, 'SIGKILL');
    await clock.sleep(20);
  }
}
