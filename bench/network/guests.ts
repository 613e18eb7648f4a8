import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { madeNetwork, networkCommand } from '@fumehood/microvm';
import type { Networks } from '../../packages/executor/src/helper/networks.ts';
import { inNamespace } from '../../test/network/internet.ts';

/** A network namespace that plays a guest: how it reaches the servers is what is compared. */
export interface BenchGuest {
  readonly name: string;
  readonly note: string;
  /** The address that it asks for names. */
  readonly resolver: string;
  readonly namespace: ChildProcess;
  readonly helpers: readonly ChildProcess[];
}

const gate = join(import.meta.dirname, '../../packages/microvm/src/network/gate.nft');
/** The guest's end of a link. */
const guestAddress = { ours: '172.31.0.2', nat: '172.30.0.2' };
const gateway = { ours: '172.31.0.1', nat: '172.30.0.1' };

const emptyGuest = () => inNamespace('echo ready; exec cat');

/** Runs a shell script in the namespace of a process. */
function runIn({ pid }: ChildProcess, script: string): void {
  execFileSync('nsenter', ['--target', String(pid), '--net', 'sh', '-euc', script]);
}

function setRoute(guest: ChildProcess, kind: 'ours' | 'nat'): void {
  runIn(
    guest,
    `ip address add ${guestAddress[kind]}/30 dev guest; ip link set guest up; ip route add default via ${gateway[kind]}`,
  );
}

/** Makes the network of a VM as the product does. In the place of the VMM, whose namespace it is, runs this shell script. */
export function makeNetwork(program: string, script: string): { child: ChildProcess } {
  const [file = '', ...args] = networkCommand({ program }, { tap: { owner: 0 }, channel: 3 }, [
    ...['/bin/sh', '-euc', script],
  ]);
  return { child: spawn(file, args, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'], env: {} }) };
}

/**
 * A guest of our network. Its tap gives way to one end of a link, which carries as much as the kernel does, with the same name, rules and
 * neighbour: a tap carries what a VMM copies.
 */
export async function ourGuest(program: string, networks: Networks): Promise<BenchGuest> {
  const namespace = await emptyGuest();
  const { child } = makeNetwork(
    program,
    `ip link set tap0 down; ip link set tap0 name tap1
     ip link add tap0 type veth peer name guest address 02:00:00:00:00:02 netns ${namespace.pid}
     ip address add ${gateway.ours}/30 dev tap0
     ip neighbour add ${guestAddress.ours} lladdr 02:00:00:00:00:02 dev tap0 nud permanent
     nft delete table netdev gate; nft delete table inet steer; nft -f ${gate}
     ip link set tap0 up; exec sleep 3600`,
  );
  const { handles } = await madeNetwork(child);
  await networks.open(1, handles, { policy: { mode: 'public' }, broker: [], queue: null }, () => {});
  for (;;) {
    try {
      setRoute(namespace, 'ours');
      break;
    } catch {
      // the script has not come to the link yet
    }
  }
  const note = 'its namespace, rules and handover, and the process that serves networks';
  return { name: 'Fumehood', note, resolver: gateway.ours, namespace, helpers: [child] };
}

/** A guest whose packets the kernel forwards, with the machine's address. It asks the name server itself. */
export async function natGuest(nameServer: string): Promise<BenchGuest> {
  const namespace = await emptyGuest();
  execFileSync('sh', [
    '-euc',
    `ip link add nat type veth peer name guest netns ${namespace.pid}
     ip address add ${gateway.nat}/30 dev nat; ip link set nat up
     echo 1 >/proc/sys/net/ipv4/ip_forward
     nft 'add table ip nat; add chain ip nat out { type nat hook postrouting priority srcnat; }; add rule ip nat out oifname near masquerade'`,
  ]);
  setRoute(namespace, 'nat');
  const note = "nft's masquerade; names are asked of the name server itself";
  return { name: 'NAT', note, resolver: nameServer, namespace, helpers: [] };
}

/** A guest of pasta, or why there is none. */
export async function pastaGuest(directory: string, nameServer: string): Promise<BenchGuest | string> {
  const program = (process.env['PATH'] ?? '')
    .split(':')
    .map((directory) => join(directory, 'pasta'))
    .find((file) => existsSync(file));
  if (program === undefined) return 'pasta is not installed (Debian package passt)';
  const namespace = await emptyGuest();
  const ports = ['-t', 'none', '-u', 'none', '-T', 'none', '-U', 'none'];
  // pasta gives up the privilege that opens a namespace of /proc, so it gets a file that no other process sees.
  const inPlace = 'mount --bind "$1" "$2"; file=$2; shift 2; exec "$0" "$@" --netns "$file"';
  const file = join(directory, 'pasta.ns');
  writeFileSync(file, '');
  const child = spawn(
    'unshare',
    [
      ...['--mount', 'sh', '-euc', inPlace, program, `/proc/${namespace.pid}/ns/net`],
      ...[file, '-f', '-4', '--runas', '0', '--netns-only', '--config-net', '-I', 'guest', ...ports],
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let log = '';
  child.stderr.on('data', (chunk: Buffer) => {
    log += chunk.toString();
  });
  for (const giveUpAt = Date.now() + 5_000; Date.now() < giveUpAt && child.exitCode === null; ) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    try {
      runIn(namespace, 'ip route | grep -q default');
      return { name: 'pasta', note: 'passt of Debian', resolver: nameServer, namespace, helpers: [child] };
    } catch {
      // it has not made its interface yet
    }
  }
  child.kill('SIGKILL');
  namespace.kill('SIGKILL');
  return `pasta made no network: ${log.trim().slice(-300)}`;
}
