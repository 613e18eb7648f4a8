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
 * A network namespace with one link, to this machine, which can be cut. Its name here begins with `gbx`. The namespace is that of
 * a process and has no name of its own: it goes with the last process in it, however this one ends, and takes the link along.
 */
export class Link {
  /** Addresses of the two ends: here and there. */
  readonly here: string;
  readonly there: string;
  private readonly holder: ChildProcess;
  private readonly name: string;

  private constructor(holder: ChildProcess) {
    const pid = holder.pid as number;
    this.holder = holder;
    this.name = `gbx${pid}`;
    const net = `10.213.${(pid >> 6) & 255}`;
    this.here = `${net}.${((pid & 63) << 2) + 1}`;
    this.there = `${net}.${((pid & 63) << 2) + 2}`;
  }

  static async make(): Promise<Link> {
    const holder = spawn('setpriv', ['--pdeathsig', 'KILL', 'unshare', '--net', 'sleep', 'infinity']);
    const link = new Link(holder);
    while (['', namespaceOf('self')].includes(namespaceOf(holder.pid as number))) await sleep(5);
    const { name, here, there } = link;
    ip('link', 'add', name, 'type', 'veth', 'peer', 'name', 'way', 'netns', String(holder.pid));
    // What comes from where no answer can go is taken all the same.
    writeFileSync(`/proc/sys/net/ipv4/conf/${name}/rp_filter`, '0');
    ip('address', 'add', `${here}/30`, 'dev', name);
    ip('link', 'set', name, 'up');
    link.inside('ip', 'link', 'set', 'lo', 'up');
    link.inside('ip', 'address', 'add', `${there}/30`, 'dev', 'way');
    link.inside('ip', 'link', 'set', 'way', 'up');
    return link;
  }

  /** The command that runs a command in there; the process stays the same one. */
  enter(...command: string[]): string[] {
    return ['nsenter', `--net=/proc/${this.holder.pid}/ns/net`, '--', ...command];
  }

  /** Nothing gets through, and nobody is told. */
  cut(): void {
    this.loseAnswers();
    ip('link', 'set', this.name, 'down');
  }

  /** What is sent from there still arrives here. */
  loseAnswers(): void {
    ip('route', 'replace', 'blackhole', `${this.there}/32`);
  }

  heal(): void {
    ip('link', 'set', this.name, 'up');
    try {
      ip('route', 'delete', 'blackhole', `${this.there}/32`);
    } catch {
      // it was not cut
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
