import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { readlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const namespaceOf = (pid: number | string) => {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`);
  } catch {
    return '';
  }
};

/**
 * A network namespace. It belongs to a process and has no name: the kernel removes it, and its links with it, when the last process in it
 * ends, even if this process is killed.
 */
export class NetworkNamespace {
  /** The process that holds it, which `ip link … netns PID` names. */
  readonly pid: number;
  private readonly holder: ChildProcess;

  private constructor(holder: ChildProcess) {
    this.holder = holder;
    this.pid = holder.pid as number;
  }

  /** Makes a namespace whose only interface is loopback. */
  static async make(): Promise<NetworkNamespace> {
    const holder = spawn('setpriv', ['--pdeathsig', 'KILL', 'unshare', '--net', 'sleep', 'infinity']);
    const namespace = new NetworkNamespace(holder);
    while (['', namespaceOf('self')].includes(namespaceOf(namespace.pid))) await sleep(5);
    namespace.run('ip', 'link', 'set', 'lo', 'up');
    return namespace;
  }

  /** Returns argv that runs a command in the namespace. The process execs the command, so its pid stays the same. */
  enter(...command: string[]): string[] {
    return ['nsenter', `--net=/proc/${this.pid}/ns/net`, '--', ...command];
  }

  /** Runs a command in the namespace, and waits for it. Throws if it fails. */
  run(...command: string[]): void {
    const [program = '', ...args] = this.enter(...command);
    execFileSync(program, args, { stdio: 'pipe' });
  }

  end(): void {
    this.holder.kill('SIGKILL');
  }
}
