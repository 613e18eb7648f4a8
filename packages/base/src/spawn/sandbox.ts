import type { ChildProcess } from 'node:child_process';
import type { Socket } from 'node:net';
import { constants } from 'node:os';
import { json } from 'node:stream/consumers';
import type { ExitStatus, SpawnedProcess } from './spawn.ts';

/**
 * The end of what was started, and the way to it. Bwrap is not killed itself: it is who knows when process 1 inside is dead,
 * and every other one with it; killed while it makes the namespaces, it would leave them running on their own.
 */
export function watchSandbox(
  child: ChildProcess,
  facts: Socket,
  timeMs: number,
): Pick<SpawnedProcess, 'exited' | 'kill'> {
  let state: 'running' | 'killed' | 'ended' = 'running';
  let timedOut = false;
  const first = json(facts).then(
    (told) => (told as { 'child-pid': number })['child-pid'],
    () => null, // it ended before there was one
  );
  const kill = () => {
    if (state === 'running') state = 'killed';
    void first.then((pid) => {
      try {
        if (pid !== null && state === 'killed') process.kill(pid, 'SIGKILL');
      } catch {
        // it has just ended
      }
    });
  };
  const timer = setTimeout(() => {
    timedOut = true;
    kill();
  }, timeMs);
  const exited = new Promise<ExitStatus>((resolve) => {
    child.once('exit', (code, signal) => {
      clearTimeout(timer);
      const killed = state === 'killed' && code === 128 + constants.signals.SIGKILL;
      state = 'ended';
      resolve(killed ? { code: null, signal: 'SIGKILL', timedOut } : { code, signal, timedOut });
    });
  });
  return { exited, kill };
}
