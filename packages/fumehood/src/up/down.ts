import type { Clock } from '@fumehood/base';
import type { State } from '../state/state.ts';
import { findRunning, hasEnded, type RunningProcess } from './running.ts';

/** How long running jobs may take to stop, and the database to close. */
const patienceMs = 30_000;

interface DownDeps {
  readonly state: State;
  readonly clock: Clock;
  /** Lets running jobs finish, however long they take. */
  readonly drain: boolean;
  readonly onProgress: (line: string) => void;
}

/**
 * Stops the processes of a state directory, until none is left: the executor first, so that it can still report the ends of its jobs to the instance.
 * Returns what was stopped.
 */
export async function stopAll(deps: DownDeps): Promise<readonly ('instance' | 'executor')[]> {
  const { state, clock, onProgress } = deps;
  const stopped = new Set<'instance' | 'executor'>();
  for (;;) {
    const { executor, instance } = findRunning(state);
    if (executor) await stopExecutor(executor, deps);
    else if (instance) {
      onProgress('stopping the instance');
      signal(instance, 'SIGTERM');
      await untilEnded(state, instance, clock, patienceMs);
    } else return [...stopped];
    stopped.add(executor ? 'executor' : 'instance');
  }
}

/** Stops the executor and leaves the instance running. */
export async function stopExecutor(executor: RunningProcess, deps: DownDeps): Promise<void> {
  const { state, clock, drain, onProgress } = deps;
  onProgress('stopping the executor');
  signal(executor, 'SIGTERM');
  // The executor drains at the first SIGTERM, and stops its jobs at the second.
  if (!drain) setTimeout(() => signal(executor, 'SIGTERM'), 100);
  await untilEnded(state, executor, clock, drain ? Infinity : patienceMs);
}

function signal(running: RunningProcess, name: NodeJS.Signals): void {
  try {
    process.kill(running.pid, name);
  } catch {
    // the process has ended
  }
}

/** Waits until the process has ended, and kills it after `ms`. Its children die with it, so SIGKILL leaves no process either. */
async function untilEnded(state: State, running: RunningProcess, clock: Clock, ms: number): Promise<void> {
  const giveUpAt = clock.bootTime() + ms;
  while (!hasEnded(state, running)) {
    if (clock.bootTime() > giveUpAt) signal(running, 'SIGKILL');
    await clock.sleep(20);
  }
}
