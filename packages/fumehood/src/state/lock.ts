import { spawnSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readFileSync,
  statSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '@fumehood/base';
import { lockFailed, stateBusy, stateGone } from '../errors.ts';
import type { State } from './state.ts';

/** How long a command waits for another one that is starting or stopping Fumehood. */
const patienceMs = 60_000;
/** The exit code of flock for a lock that another process holds. */
const heldCode = 75;

/**
 * Locks the state directory for starting and stopping the processes that use it, and returns a function that unlocks it. The kernel
 * frees the lock when its holder dies. Only the owner of the state directory can open the lock's file, so no other user can hold it.
 * A caller that waits reports the holder. Errors: `state_busy` after a minute, `state_gone`, `lock_failed`.
 */
export async function lockState(deps: {
  readonly state: State;
  readonly clock: Clock;
  readonly onProgress: (line: string) => void;
}): Promise<() => void> {
  const { state, clock, onProgress } = deps;
  const file = join(state.root, 'lock');
  const giveUpAt = clock.bootTime() + patienceMs;
  let holder: string | null = null;
  for (;;) {
    if (!existsSync(state.root)) throw stateGone(state.root);
    const release = tryLock(file);
    if (release) return release;
    if (holder === null) {
      holder = describeHolder(file);
      onProgress(`waiting for ${holder}, which is starting or stopping Fumehood in ${state.root}`);
    }
    if (clock.bootTime() > giveUpAt) throw stateBusy(state.root, holder);
    await clock.sleep(100);
  }
}

/** Takes the lock unless another process holds it, and returns a function that frees it, or null. */
function tryLock(file: string): (() => void) | null {
  const descriptor = openSync(file, 'a+', 0o600);
  const release = () => closeSync(descriptor);
  try {
    // The lock belongs to the open file, which flock shares with this process: it outlives flock, and ends with this process.
    const flock = spawnSync('/usr/bin/flock', ['--nonblock', `--conflict-exit-code=${heldCode}`, '3'], {
      stdio: ['ignore', 'ignore', 'pipe', descriptor],
      encoding: 'utf8',
    });
    if (flock.status === 0 && isStillAt(file, descriptor)) {
      ftruncateSync(descriptor);
      writeSync(descriptor, String(process.pid));
      return release;
    }
    if (flock.status !== 0 && flock.status !== heldCode)
      throw lockFailed(file, flock.error?.message ?? flock.stderr.trim());
  } catch (error) {
    release();
    throw error;
  }
  release();
  return null;
}

/** `fumehood clean --all` may have removed the file before the lock on it was taken. */
function isStillAt(file: string, descriptor: number): boolean {
  const there = statSync(file, { throwIfNoEntry: false });
  const ours = fstatSync(descriptor);
  return there?.ino === ours.ino && there.dev === ours.dev;
}

function describeHolder(file: string): string {
  const text = readFileSync(file, 'utf8');
  return `another fumehood command${/^\d{1,10}$/.test(text) ? ` (pid ${text})` : ''}`;
}
