import type { ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type { ExitStatus, SpawnedProcess } from './spawn.ts';

/** The pause until the next look for process 1, ms. */
const lookAgainMs = 2;

/**
 * Watches the sandbox whose bwrap is this child. Kills the sandbox at its deadline, and whenever `kill` is called.
 *
 * Only process 1 inside is ever killed, because with it the kernel kills every other process inside, and then bwrap exits. A bwrap
 * that is killed itself while it makes the namespaces leaves process 1 waiting for ever. For the same reason bwrap must not report
 * to this process at that time (`--info-fd`): if this process died meanwhile, the report would kill bwrap.
 */
export function watchSandbox(bwrap: ChildProcess, timeMs: number): Pick<SpawnedProcess, 'exited' | 'kill'> {
  let state: 'running' | 'killed' | 'ended' = 'running';
  let timedOut = false;
  let first: number | null = null;
  const kill = async () => {
    if (state !== 'running') return;
    state = 'killed';
    for (;;) {
      // Read again after each pause: the state changes when bwrap exits.
      if ((state as string) === 'ended') return;
      first = onlyChildOf(bwrap.pid as number);
      if (first !== null) return killProcess(first);
      await delay(lookAgainMs);
    }
  };
  const timer = setTimeout(() => {
    timedOut = true;
    void kill();
  }, timeMs);
  const exited = new Promise<ExitStatus>((resolve) => {
    bwrap.once('exit', (code, signal) => {
      clearTimeout(timer);
      // A bwrap that finds its child dead at its start reports an error of its own.
      const killed = state === 'killed' && first !== null && code !== 0;
      state = 'ended';
      const status: ExitStatus = killed
        ? { code: null, signal: 'SIGKILL', timedOut }
        : { code, signal, timedOut };
      if (first === null) resolve(status);
      else void untilDead(first).then(() => resolve(status));
    });
  });
  return { exited, kill: () => void kill() };
}

/** Returns bwrap's child, which is process 1 inside, or null as long as there is none. */
function onlyChildOf(pid: number): number | null {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim();
    return children === '' ? null : Number(children.split(' ')[0]);
  } catch {
    return null; // bwrap has just ended
  }
}

/** Waits for the end of a process that was killed, which may be later than that of bwrap, for a second at most. */
async function untilDead(pid: number): Promise<void> {
  for (let tries = 0; tries < 500 && isAlive(pid); tries++) await delay(lookAgainMs);
}

function isAlive(pid: number): boolean {
  try {
    return !/^State:\t[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'latin1'));
  } catch {
    return false;
  }
}

function killProcess(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // it has just ended
  }
}
