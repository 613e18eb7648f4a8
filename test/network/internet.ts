import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeAuthority } from '../integration/certificates.ts';
import type { HostContent, ServersConfig } from './servers.ts';

/** Addresses of the public internet: nothing is opened for a guest that reaches them. The namespaces have no way out to their owners. */
const nameServer = '9.1.0.53';
const hostAddress = (index: number) => `9.1.0.${100 + index}`;
const link = { near: '9.2.0.2', far: '9.2.0.1' };

/** An internet of the test's own, and the network namespace of a machine that reaches it, and nothing else. */
export class Internet {
  readonly nameServer = nameServer;
  /** The certificate of the authority that issued those of the hosts. */
  readonly authorityFile: string;
  readonly #names: readonly string[];
  readonly #processes: readonly ChildProcess[];

  private constructor(authorityFile: string, names: readonly string[], processes: readonly ChildProcess[]) {
    this.authorityFile = authorityFile;
    this.#names = names;
    this.#processes = processes;
  }

  /** Starts the servers of these hosts, by name. `directory` is for its own files. */
  static async start(directory: string, contents: Readonly<Record<string, HostContent>>): Promise<Internet> {
    const names = Object.keys(contents);
    const authority = makeAuthority(directory, 'internet');
    const hosts = Object.fromEntries(
      Object.entries(contents).map(([name, content], index) => [
        name,
        { address: hostAddress(index), content },
      ]),
    );
    const config: ServersConfig = { nameServer, hosts, ...authority.issue('hosts', names) };
    const file = join(directory, 'internet.json');
    writeFileSync(file, JSON.stringify(config));
    const addresses = [nameServer, ...Object.values(hosts).map(({ address }) => address)];
    const servers = await inNamespace(
      `for address in ${addresses.join(' ')}; do ip address add "$address/32" dev lo; done; exec "$@"`,
      [process.execPath, join(import.meta.dirname, 'servers.ts'), file],
    );
    const machine = await machineBeside(servers);
    return new Internet(authority.caFile, names, [servers, machine]);
  }

  /** Returns the address of a host, for a program of the machine that asks no name server. */
  address(name: string): string {
    return hostAddress(this.#names.indexOf(name));
  }

  /** Returns the command that runs a program beside the servers, which find it on loopback. */
  besideServers(argv: readonly string[]): string[] {
    const [servers] = this.#processes;
    return ['nsenter', '--target', String(servers?.pid), '--net', ...argv];
  }

  /** Returns the command that runs a program on the machine. */
  onMachine(argv: readonly string[]): string[] {
    const [, machine] = this.#processes;
    return ['nsenter', '--target', String(machine?.pid), '--net', ...argv];
  }

  async stop(): Promise<void> {
    for (const child of this.#processes) {
      child.kill('SIGKILL');
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    }
  }
}

/** Runs a shell script in a new network namespace, and resolves when it has written something. */
export async function inNamespace(script: string, args: readonly string[] = []): Promise<ChildProcess> {
  const whole = `ip link set lo up; ${script}`;
  const child = spawn('unshare', ['--net', 'sh', '-euc', whole, 'sh', ...args], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  return child;
}

/** Makes a namespace whose only way out leads to that of a process, and returns the process that keeps it. */
export async function machineBeside({ pid }: ChildProcess): Promise<ChildProcess> {
  const far = `nsenter --target ${pid} --net ip`;
  return await inNamespace(
    `ip link add near type veth peer name far netns ${pid}
     ip address add ${link.near}/30 dev near; ip link set near up
     ${far} address add ${link.far}/30 dev far; ${far} link set far up
     ip route add default via ${link.far}; echo ready; exec cat`,
  );
}
