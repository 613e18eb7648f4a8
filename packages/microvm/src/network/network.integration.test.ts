import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readFileSync, readlinkSync } from 'node:fs';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { jailArguments, jailFilter } from '../jail/bwrap.ts';
import { buildNetworkProgram } from '../launcher/build.ts';
import {
  countHolders,
  madeNetwork,
  networkCommand,
  networkMissing,
  type TapAccess,
  tapName,
} from './network.ts';

const uid = 1_900_127;
const channel = 4;
/** Of the filter that bubblewrap reads, and of the tap. */
const inherited = 3;
let directory: string;
let program: string;
let attempts: string;
let running: ChildProcess[] = [];

beforeAll(async () => {
  if (networkMissing() !== null) return;
  directory = await mkdtemp(join(tmpdir(), 'fumehood-network-'));
  await chmod(directory, 0o711);
  program = await buildNetworkProgram(directory);
  attempts = join(directory, 'in-namespace');
  const source = join(import.meta.dirname, '../testing/in-namespace.c');
  execFileSync('gcc', ['-static', '-O1', '-Wall', '-Wextra', '-Werror', '-o', attempts, source]);
});
afterEach(async () => {
  for (const child of running.splice(0)) await kill(child);
});
afterAll(async () => {
  if (directory) await rm(directory, { recursive: true });
});

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
}

/** Makes a network in which `command` plays the VMM, behind the words of `before`. */
async function make(command: readonly string[], tap: TapAccess, before: readonly string[] = []) {
  const words = [...before, ...networkCommand({ program }, { tap, channel }, command)];
  const child = spawn(words[0] as string, words.slice(1), {
    stdio: ['ignore', 'pipe', 'inherit', 'pipe', 'ipc'],
    env: {},
  });
  running.push(child);
  const filter = child.stdio[inherited] as Socket;
  filter.on('error', () => {}).end(jailFilter()); // a command without a jail does not read it
  return { child, made: await madeNetwork(child) };
}

/** A pair of interfaces, one of them in the network of a VMM: the other one is gone when the namespace has ended. */
function watchNamespace(pid: number): string {
  const name = `fhlink${randomInt(1e6, 1e7)}`;
  execFileSync('ip', ['link', 'add', name, 'type', 'veth', 'peer', 'name', 'watch', 'netns', String(pid)]);
  return `/sys/class/net/${name}`;
}

describe.skipIf(networkMissing() !== null)('the network of a VM', () => {
  it('has no IPv6 and forwards nothing, whatever its host does, and keeps its tap when nobody has it open', async () => {
    const host =
      'echo 1 >/proc/sys/net/ipv4/ip_forward; echo 0 >/proc/sys/net/ipv6/conf/default/disable_ipv6; exec "$@"';
    const settings = [
      'ipv4/ip_forward',
      `ipv4/conf/${tapName}/forwarding`,
      `ipv6/conf/${tapName}/disable_ipv6`,
    ];
    const files = settings.map((name) => `/proc/sys/net/${name}`);
    const script = `cat ${files.join(' ')}; cat /proc/net/if_inet6; cut -f1,2,8 /proc/net/route; grep -o tap0 /proc/net/dev`;
    const outside = ['unshare', '--net', 'sh', '-euc', host, 'sh'];
    const { child, made } = await make(['/bin/sh', '-c', script], { owner: uid }, outside);
    const said = await text(child.stdout as Socket);
    // The only route is that of the guest: 172.31.0.0/30, as the kernel writes it.
    expect(said).toBe(`0\n0\n1\nIface\tDestination\tMask\n${tapName}\t00001FAC\tFCFFFFFF\n${tapName}\n`);
    for (const handle of Object.values(made.handles)) handle.close();
  });

  it('lets a VMM that was taken over send only what its guest can', async () => {
    const name = `fumehood-${randomInt(1e9, 1e10)}`;
    const server: Server = createServer().listen(`\0${name}`);
    // The device is 0600 on some machines that tests run on, and 0666 under udev.
    const node = join(directory, 'tun');
    const host = `mknod -m 666 ${node} c 10 200; mount --bind ${node} /dev/net/tun; exec "$@"`;
    const outside = ['unshare', '--mount', 'sh', '-euc', host, 'sh'];
    const tries = [
      `tap ${tapName}`,
      'tap tap1',
      'raw',
      'tcp 1.1.1.1:53',
      'tcp 127.0.0.1:15001',
      `abstract ${name}`,
    ];
    const as = (user: number, command: readonly string[]) => [
      '/usr/bin/setpriv',
      ...['--no-new-privs', `--reuid=${user}`, `--regid=${user}`, '--clear-groups', '--bounding-set=-all'],
      ...command,
    ];
    const run = async (command: readonly string[]) => {
      const { child, made } = await make(command, { owner: uid }, outside);
      const said = await text(child.stdout as Socket);
      for (const handle of Object.values(made.handles)) handle.close();
      await rm(node);
      const lines = said.trimEnd().split('\n');
      return Object.fromEntries(lines.map((line) => [line.split(': ')[0], line.split(': ')[1]]));
    };
    const contents = { devices: ['/dev/net/tun'], program: attempts, keepsNetwork: true, filter: inherited };
    const denied = 'Operation not permitted';
    const none = {
      [`tap ${tapName}`]: 'ok',
      ...{ 'tap tap1': denied, raw: denied, [`abstract ${name}`]: 'Connection refused' },
    };
    expect(await run(as(uid, jailArguments([attempts, ...tries], contents)))).toEqual({
      ...none,
      ...{ 'tcp 1.1.1.1:53': denied, 'tcp 127.0.0.1:15001': denied },
    });
    // Without its filter it reaches the listener, which decides about it as about its guest, and still nothing else.
    const reached = { 'tcp 1.1.1.1:53': 'Network is unreachable', 'tcp 127.0.0.1:15001': 'ok' };
    expect(await run(as(uid, [attempts, ...tries]))).toEqual({ ...none, ...reached });
    // Another user than that of the VM does not even get the tap.
    expect(await run(as(uid + 1, [attempts, ...tries]))).toMatchObject({ [`tap ${tapName}`]: denied });
    server.close();
  });

  it('is made without root, too, where everybody may open the device: the tap gets out, and its VMM stays where it was', async () => {
    const node = join(directory, 'tun');
    const host = `mknod -m 666 ${node} c 10 200; mount --bind ${node} /dev/net/tun; exec "$@"`;
    const user = ['/usr/bin/setpriv', '--no-new-privs', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups'];
    const outside = ['unshare', '--mount', 'sh', '-euc', host, 'sh', ...user, '--bounding-set=-all'];
    const script = `grep iff: /proc/self/fdinfo/${inherited}; readlink /proc/self/ns/net /proc/self/ns/user; grep -c tap0 /proc/net/dev`;
    const { child, made } = await make(['/bin/sh', '-c', script], { descriptor: inherited }, outside);
    const own = [readlinkSync('/proc/self/ns/net'), readlinkSync('/proc/self/ns/user')];
    expect(await text(child.stdout as Socket)).toBe(`iff:\t${tapName}\n${own.join('\n')}\n0\n`);
    expect(own[0]).not.toBe(`net:[${made.namespace}]`);
    expect(await countHolders({ program }, made.namespace)).toBe(2);
    for (const handle of Object.values(made.handles)) handle.close();
    await rm(node);
  });

  it('ends when its VMM was killed and its sockets are closed, and until then they are counted', async () => {
    const { child, made } = await make(['/bin/sleep', '60'], { owner: uid });
    const seen = watchNamespace(child.pid as number);
    const { connections, questions } = made.handles;
    expect(await countHolders({ program }, made.namespace)).toBe(2);
    connections.close();
    expect(await countHolders({ program }, made.namespace)).toBe(1);
    await kill(child);
    expect(existsSync(seen)).toBe(true);
    questions.close();
    expect(await countHolders({ program }, made.namespace)).toBe(0);
    await expect.poll(() => existsSync(seen), { timeout: 5_000 }).toBe(false);
  });

  it('counts a tap that a process holds', async () => {
    const { child, made } = await make(['/bin/sleep', '60'], { descriptor: inherited });
    for (const handle of Object.values(made.handles)) handle.close();
    await expect.poll(() => countHolders({ program }, made.namespace)).toBe(1);
    expect(readFileSync(`/proc/${child.pid}/fdinfo/${inherited}`, 'latin1')).toContain(`iff:\t${tapName}`);
    await kill(child);
    expect(await countHolders({ program }, made.namespace)).toBe(0);
  });
});
