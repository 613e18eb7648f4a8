import type { ChildProcess } from 'node:child_process';
import type { Socket } from 'node:net';
import { constants } from 'node:os';
import { json } from 'node:stream/consumers';
import type { ExitStatus, SpawnedProcess } from './spawn.ts';

/**
 * Watches a sandbox: `bwrap` is the child, and `info` the stream on which it reports process 1 inside. Kills the sandbox at its
 * deadline, and whenever `kill` is called.
 *
 * Only process 1 inside is ever killed, because with it the kernel kills every other process inside, and then bwrap exits. A bwrap
 * that is killed itself while it makes the namespaces would leave the processes inside running.
 */
export function watchSandbox(
  bwrap: ChildProcess,
  info: Socket,
  timeMs: number,
): Pick<SpawnedProcess, 'exited' | 'kill'> {
  let state: 'running' | 'killed' | 'ended' = 'running';
  let timedOut = false;
  const innerPid = json(info).then(
    (report) => (report as { 'child-pid': number })['child-pid'],
    () => null, // bwrap exited before it started process 1
  );
  const kill = () => {
    if (state === 'running') state = 'killed';
    void innerPid.then((pid) => {
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
    bwrap.once('exit', (code, signal) => {
      clearTimeout(timer);
      const killed = state === 'killed' && code === 128 + constants.signals.SIGKILL;
      state = 'ended';
      resolve(killed ? { code: null, signal: 'SIGKILL', timedOut } : { code, signal, timedOut });
    });
  });
  return { exited, kill };
}
