import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { readlinkSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const ip = (...args: string[]) => execFileSync('ip', args, { stdio: 'pipe' });
const namespaceOf = (pid: number | string) => {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`);
  } catch {
    return '';
  }
};

/**
 * A network namespace whose only link goes to this machine and can be cut. test/leaks.ts knows the link's interface by the prefix
 * `fhlink`. The namespace belongs to a process and has no name: the kernel removes it, and the link with it, when the last process
 * in it ends, even if this process is killed.
 */
export class Link {
  /** The addresses of the two ends: on this machine and in the namespace. */
  readonly here: string;
  readonly there: string;
  private readonly holder: ChildProcess;
  private readonly name: string;

  private constructor(holder: ChildProcess) {
    const pid = holder.pid as number;
    this.holder = holder;
    this.name = `fhlink${pid}`;
    const net = `10.213.${(pid >> 6) & 255}`;
    this.here = `${net}.${((pid & 63) << 2) + 1}`;
    this.there = `${net}.${((pid & 63) << 2) + 2}`;
  }

  /** Makes the namespace and its link. */
  static async make(): Promise<Link> {
    const holder = spawn('setpriv', ['--pdeathsig', 'KILL', 'unshare', '--net', 'sleep', 'infinity']);
    const link = new Link(holder);
    while (['', namespaceOf('self')].includes(namespaceOf(holder.pid as number))) await sleep(5);
    const { name, here, there } = link;
    ip('link', 'add', name, 'type', 'veth', 'peer', 'name', 'way', 'netns', String(holder.pid));
    // The kernel must accept packets whose source address has no route back: loseAnswers() removes that route.
    writeFileSync(`/proc/sys/net/ipv4/conf/${name}/rp_filter`, '0');
    ip('address', 'add', `${here}/30`, 'dev', name);
    ip('link', 'set', name, 'up');
    link.inside('ip', 'link', 'set', 'lo', 'up');
    link.inside('ip', 'address', 'add', `${there}/30`, 'dev', 'way');
    link.inside('ip', 'link', 'set', 'way', 'up');
    return link;
  }

  /** Returns argv that runs a command in the namespace. The process execs the command, so its pid stays the same. */
  enter(...command: string[]): string[] {
    return ['nsenter', `--net=/proc/${this.holder.pid}/ns/net`, '--', ...command];
  }

  /** Drops every packet in both directions; no end gets an error. */
  cut(): void {
    this.loseAnswers();
    ip('link', 'set', this.name, 'down');
  }

  /** Drops every packet to the namespace. Packets from the namespace still arrive. */
  loseAnswers(): void {
    ip('route', 'replace', 'blackhole', `${this.there}/32`);
  }

  /** Ends `cut` and `loseAnswers`. */
  heal(): void {
    ip('link', 'set', this.name, 'up');
    try {
      ip('route', 'delete', 'blackhole', `${this.there}/32`);
    } catch {
      // the link was not cut
    }
  }

  remove(): void {
    this.heal();
    ip('link', 'delete', this.name);
    this.holder.kill('SIGKILL');
  }

  private inside(...command: string[]): void {
    const [program = '', ...args] = this.enter(...command);
    execFileSync(program, args, { stdio: 'pipe' });
  }
}
