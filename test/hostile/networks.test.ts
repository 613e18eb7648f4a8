import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { chmodSync, cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sendMessage, startChild, systemClock } from '@fumehood/base';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compileHostile, testIdentity } from '../../packages/base/src/testing/hostile.ts';
import { openNetworks } from '../../packages/executor/src/helper/networks.ts';

/**
 * What a process does that was taken over by what it relays: each attack of `hostile.c`, and then what it finds. It tells as receipts, which is
 * what it has for the executor.
 */
const takenOver = `
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
const { attacks, hostile } = JSON.parse(readFileSync(process.argv[2], 'utf8'));
process.send({ type: 'child.started', facts: {} });
process.on('disconnect', () => process.exit());
process.on('message', ({ type, id }) => {
  if (type === 'network.close') process.send({ type: 'network.closed', id });
  if (type !== 'network.open') return;
  const tell = (rule) => process.send({ type: 'network.receipt', id, receipt: {
    at: 0, kind: 'connection', name: null, address: null, port: null, serverName: null,
    sentBytes: 0, receivedBytes: 0, verdict: 'allowed', rule, reason: null } });
  for (const [name, ...args] of attacks) {
    const { stdout, signal } = spawnSync(hostile, args, { encoding: 'utf8' });
    tell(name + ': ' + (signal ?? stdout.trim().split('\\n').at(-1)));
  }
  const processes = readdirSync('/proc').filter((name) => /^\\d+$/.test(name));
  tell('processes of others: ' + processes.some((pid) => pid === '${process.pid}'));
  const status = readFileSync('/proc/self/status', 'utf8');
  for (const field of ['CapEff', 'CapBnd', 'NoNewPrivs'])
    tell(field + ': ' + new RegExp(field + ':\\\\s*(.*)').exec(status)[1].trim());
  tell('end: ');
});`;

let directory: string;
let server: Server;
let program: { node: string; script: string; config: string };
const at = (name: string) => join(directory, name);

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'fumehood-networks-'));
  chmodSync(directory, 0o755);
  for (const name of ['program', 'state', 'vms']) mkdirSync(at(name), { mode: 0o777 });
  chmodSync(at('vms'), 0o777);
  cpSync(process.execPath, at('node'), { dereference: true });
  await compileHostile(at('program/hostile'));
  writeFileSync(at('program/egress.mjs'), takenOver);
  // Everybody may read these: a mistake that only a view of its own makes good.
  writeFileSync(at('state/credential'), 'secret', { mode: 0o644 });
  server = createServer((socket) => socket.destroy()).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const attacks = [
    ['dials', 'tcp', String((server.address() as AddressInfo).port)],
    ['reads its own configuration', 'read', at('config.json')],
    ['reads a credential', 'read', at('state/credential')],
    ['reads the users of the host', 'read', '/etc/passwd'],
    ['writes to a directory of the host', 'write', at('vms/planted')],
    ['signals the helper', 'signal', String(process.pid)],
    ['enters a namespace', 'setns', '/proc/self/ns/net'],
    ['makes a user namespace', 'unshare-user'],
    ['opens a netlink socket', 'netlink'],
    ['opens a raw socket', 'raw'],
    ['traces a process', 'attach'],
    ['loads a BPF map', 'bpf'],
  ];
  writeFileSync(at('config.json'), JSON.stringify({ attacks, hostile: at('program/hostile') }));
  program = { node: at('node'), script: at('program/egress.mjs'), config: at('config.json') };
});
afterAll(() => {
  server.close();
  rmSync(directory, { recursive: true, force: true });
});

/** Has a network served by the program as `start` starts it, and resolves with what it tells. */
async function told(
  serve: (onTold: (what: string) => void) => Promise<() => unknown>,
): Promise<Record<string, string>> {
  const lines: string[] = [];
  const ended = Promise.withResolvers<void>();
  const stop = await serve((line) => (line === 'end: ' ? ended.resolve() : lines.push(line)));
  await ended.promise;
  await stop();
  return Object.fromEntries(lines.map((line) => line.split(': ') as [string, string]));
}

describe.skipIf(process.getuid?.() !== 0)('a process of networks that was taken over', () => {
  it('can dial, and reaches no file, process or privilege of this host', async () => {
    const started = { ...program, identity: testIdentity, group: null };
    const permitted = { ceiling: { mode: 'public' }, privateHosts: [] } as const;
    const networks = openNetworks(started, permitted, systemClock, { warn() {} });
    const handles = { connections: createServer().listen(0), questions: createSocket('udp4').bind(0) };
    await Promise.all([once(handles.connections, 'listening'), once(handles.questions, 'listening')]);
    const outcome = await told(async (onTold) => {
      await networks.open(1, handles, { policy: { mode: 'public' }, broker: [], queue: null }, ({ rule }) =>
        onTold(rule),
      );
      return () => networks.stop();
    });
    expect(outcome).toEqual({
      dials: 'done',
      'reads its own configuration': 'done',
      'reads a credential': 'ENOENT',
      'reads the users of the host': 'ENOENT',
      'writes to a directory of the host': 'ENOENT',
      'signals the helper': 'ESRCH',
      'enters a namespace': 'EPERM',
      'makes a user namespace': 'EPERM',
      'opens a netlink socket': 'EPERM',
      'opens a raw socket': 'EPERM',
      'traces a process': 'EPERM',
      'loads a BPF map': 'EPERM',
      'processes of others': 'false',
      ...{ CapEff: '0'.repeat(16), CapBnd: '0'.repeat(16), NoNewPrivs: '1' },
    });
  });

  it('reaches them where it is not confined and has no user of its own', async () => {
    const outcome = await told(async (onTold) => {
      const child = await startChild({ ...program, identity: null });
      child.process.on('message', (message: { receipt?: { rule: string } }) => {
        if (message.receipt) onTold(message.receipt.rule);
      });
      await once(child.process, 'message'); // it has started
      await sendMessage(child.process, { type: 'network.open', id: 1 });
      return () => child.process.kill('SIGKILL');
    });
    const { CapEff, ...others } = outcome;
    expect(CapEff).not.toBe('0'.repeat(16));
    const attacks = Object.entries(others).filter(([name]) => name.includes(' '));
    expect(attacks).toHaveLength(12);
    for (const [name, end] of attacks) expect(end, name).toMatch(/^(done|true)$/);
  });
});
