import type { ChildProcess } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { finished } from 'node:stream/promises';
import { vmRefused } from '../errors.ts';
import type { VmExit } from '../vm.ts';

/** Resolves with the launcher's report of the end or, when the launcher itself was killed, with what its parent sees. */
export function exitOf(launcher: ChildProcess, status: Socket): Promise<VmExit> {
  let line = '';
  status.setEncoding('latin1');
  status.on('data', (chunk: string) => {
    line = (line + chunk).slice(0, 200);
  });
  status.on('error', () => {});
  let stderr = '';
  launcher.stderr?.on('data', (chunk: Buffer) => {
    stderr = (stderr + chunk.toString('latin1')).slice(-2000);
  });
  return new Promise((resolve) => {
    const report = (signal: NodeJS.Signals | null) => {
      const parsed = /^(-?\d+) (\d+) (exited|killed|lease|start) \d+\n$/.exec(line);
      resolve({
        code: parsed && parsed[1] !== '-1' ? Number(parsed[1]) : null,
        signal: parsed ? Number(parsed[2]) || null : null,
        reason: parsed ? (parsed[3] as VmExit['reason']) : signal ? 'killed' : 'start',
        stderr,
      });
    };
    launcher.once('error', () => report(null));
    // Not `close`: sockets that were handed to another process never close here.
    launcher.once('exit', (_code, signal) => {
      void Promise.allSettled([finished(status), finished(launcher.stderr as Socket)]).then(() =>
        report(signal),
      );
    });
  });
}

/**
 * Returns the process id of the VMM below a launcher: the launcher's child is bubblewrap, and bubblewrap's child is the VMM,
 * the first process of its pid namespace. Errors: `vm_refused` while it is not running.
 */
export async function vmmPid(launcher: number): Promise<number> {
  let pid = launcher;
  for (let depth = 0; depth < 2; depth++) {
    const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'latin1').catch(() => '');
    const child = Number(children.trim().split(' ')[0]);
    if (!child) throw vmRefused('the VMM is not running');
    pid = child;
  }
  return pid;
}
