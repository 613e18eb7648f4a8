import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { NetworkNamespace } from './namespace.ts';

const ip = (...args: string[]) => execFileSync('ip', args, { stdio: 'pipe' });

/**
 * A network namespace whose only link goes to this machine and can be cut. test/leaks.ts knows the link's interface by the prefix
 * `fhlink`. The link ends with the namespace.
 */
export class Link {
  /** The addresses of the two ends: on this machine and in the namespace. */
  readonly here: string;
  readonly there: string;
  private readonly namespace: NetworkNamespace;
  private readonly name: string;

  private constructor(namespace: NetworkNamespace) {
    const { pid } = namespace;
    this.namespace = namespace;
    this.name = `fhlink${pid}`;
    const net = `10.213.${(pid >> 6) & 255}`;
    this.here = `${net}.${((pid & 63) << 2) + 1}`;
    this.there = `${net}.${((pid & 63) << 2) + 2}`;
  }

  /** Makes the namespace and its link. */
  static async make(): Promise<Link> {
    const namespace = await NetworkNamespace.make();
    const link = new Link(namespace);
    const { name, here, there } = link;
    ip('link', 'add', name, 'type', 'veth', 'peer', 'name', 'way', 'netns', String(namespace.pid));
    // The kernel must accept packets whose source address has no route back: loseAnswers() removes that route.
    writeFileSync(`/proc/sys/net/ipv4/conf/${name}/rp_filter`, '0');
    ip('address', 'add', `${here}/30`, 'dev', name);
    ip('link', 'set', name, 'up');
    namespace.run('ip', 'address', 'add', `${there}/30`, 'dev', 'way');
    namespace.run('ip', 'link', 'set', 'way', 'up');
    return link;
  }

  /** Returns argv that runs a command in the namespace. The process execs the command, so its pid stays the same. */
  enter(...command: string[]): string[] {
    return this.namespace.enter(...command);
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
    this.namespace.end();
  }
}
