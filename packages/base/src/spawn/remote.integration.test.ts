import { type ChildProcess, fork } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Order, Report } from '../testing/client.ts';
import { living, outcome, testIdentity } from '../testing/hostile.ts';
import { localSpawn } from './local.ts';
import { serveSpawn } from './serve.ts';
import type { SpawnRequest } from './spawn.ts';

const isRoot = process.getuid?.() === 0;
const shell = '/bin/sh';

let root: string;
let child: ChildProcess;
let reports: Report[];
let tags = 0;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'fumehood-remote-'));
  chmodSync(root, 0o711);
  for (const name of ['shown', 'hidden']) {
    mkdirSync(join(root, name));
    chmodSync(join(root, name), 0o777);
  }
  child = fork(join(import.meta.dirname, '../testing/client.ts'), {
    stdio: ['pipe', 'pipe', 'inherit', 'ipc'],
  });
  reports = [];
  if (child.stdout)
    createInterface(child.stdout).on('line', (line) => reports.push(JSON.parse(line) as Report));
  serveSpawn(child, {
    identity: isRoot ? testIdentity : null,
    commands: [
      {
        program: shell,
        args: ['-c', /.*/],
        env: { A: /[^]*/ },
        binds: (['ro', 'rw'] as const).map((mode) => ({ target: '/seen', mode, from: join(root, 'shown') })),
      },
      { program: '/usr/bin/cat', args: [], binds: [] },
      { program: '/own', args: [], binds: [{ target: '/own', mode: 'ro', from: join(root, 'shown') }] },
    ],
    group: null,
    maxProcesses: 3,
  });
});
afterEach(async () => {
  if (child.exitCode === null && child.signalCode === null) {
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
  rmSync(root, { recursive: true, force: true });
});

const order = (what: Order) => void child.stdin?.write(`${JSON.stringify(what)}\n`);

/** Has the child request the program; returns the tag of the order. */
function run(request: Omit<SpawnRequest, 'label'>, inputBytes = 0): number {
  tags += 1;
  order({ tag: tags, request: { label: 'a program', ...request }, inputBytes });
  return tags;
}
const script = (text: string, more: Partial<SpawnRequest> = {}) =>
  run({ program: shell, args: ['-c', text], ...more });
async function reported<K extends keyof Report>(tag: number, what: K): Promise<NonNullable<Report[K]>> {
  const find = () => reports.find((one) => one.tag === tag && what in one)?.[what];
  await expect.poll(find, { timeout: 10_000 }).toBeDefined();
  return find() as NonNullable<Report[K]>;
}
const bind = (source: string) => ({ binds: [{ source, target: '/seen', mode: 'rw' as const }] });

describe('a program that a helper runs for its child', () => {
  it('exchanges bytes with the child, unchanged and to the end', async () => {
    const bytes = 5_000_000;
    const tag = run({ program: '/usr/bin/cat', args: [] }, bytes);
    const sha256 = createHash('sha256').update(Buffer.alloc(bytes, 'some bytes\n')).digest('hex');
    expect(await reported(tag, 'output')).toMatchObject({ bytes, sha256 });
    expect(await reported(tag, 'status')).toEqual({ code: 0, signal: null, timedOut: false });
  });

  it('reports to the child how it ended', async () => {
    const codes = [
      script('exit 7'),
      script('kill -TERM $$'),
      script('sleep 60', { limits: { timeMs: 300 } }),
    ];
    const statuses = await Promise.all(codes.map((tag) => reported(tag, 'status')));
    expect(statuses).toEqual([
      { code: 7, signal: null, timedOut: false },
      { code: 128 + 15, signal: null, timedOut: false },
      { code: null, signal: 'SIGKILL', timedOut: true },
    ]);
  });

  it('can be killed by the child', async () => {
    const tag = script('sleep 60');
    await reported(tag, 'started');
    order({ tag, kill: true });
    expect(await reported(tag, 'status')).toEqual({ code: null, signal: 'SIGKILL', timedOut: false });
  });

  it('reads and writes below its binds', async () => {
    const tag = script('echo seen > /seen/file; cat /seen/file', bind(join(root, 'shown')));
    expect((await reported(tag, 'output')).text).toBe('seen\n');
    expect(existsSync(join(root, 'shown', 'file'))).toBe(true);
  });
});

describe('a helper refuses', () => {
  const refusal = async (tag: number) => {
    const { code, message } = await reported(tag, 'error');
    expect(code).toBe('spawn_failed');
    return message;
  };

  // Each of them runs where nothing checks it.
  const unchecked = localSpawn(isRoot ? testIdentity : null);
  const cat = { program: '/usr/bin/cat', args: [] };
  it.each<[string, Omit<SpawnRequest, 'label'>, string]>([
    ['another program', { program: '/usr/bin/id', args: ['-u'] }, 'not one of the allowed programs'],
    ['an allowed program by another path', { program: '/usr/bin/../bin/cat', args: [] }, 'not one of the'],
    [
      'other arguments',
      { ...cat, args: ['/usr/lib/os-release'] },
      'with the arguments ["/usr/lib/os-release"]',
    ],
    ['one argument more', { ...cat, args: ['-'] }, 'with the arguments ["-"]'],
    ['a variable', { ...cat, env: { LD_PRELOAD: '/none.so' } }, 'the variables LD_PRELOAD'],
    ['a variable of every object', { ...cat, env: { constructor: 'x' } }, 'the variables constructor'],
  ])('what the policy does not allow: %s', async (_, request, why) => {
    expect(await refusal(run(request))).toMatch(why);
    const { stdin, exited } = await unchecked({ label: 'control', ...request });
    stdin.end();
    expect(await exited).toMatchObject({ code: 0 });
  });

  it('a file in the place of an allowed program, of a library, or of anything else', async () => {
    const evil = join(root, 'shown', 'evil');
    writeFileSync(evil, '#!/bin/sh\necho taken over\n', { mode: 0o755 });
    const over = (target: string, mode: 'ro' | 'rw' = 'ro') => ({
      ...cat,
      binds: [{ source: evil, target, mode }],
    });
    for (const target of ['/usr/bin/cat', '/bin/sh', '/etc/ld.so.preload', '/seen', '/seen/../usr/bin/cat'])
      expect(await refusal(run(over(target)))).toMatch('it may not see');
    expect(await outcome(unchecked, over('/usr/bin/cat'))).toBe('taken over');
  });

  it.runIf(isRoot)('an allowed program that another user could have changed', async () => {
    const own = join(root, 'shown', 'own');
    copyFileSync('/usr/bin/true', own);
    chmodSync(join(root, 'shown'), 0o755);
    const request = {
      program: '/own',
      args: [],
      binds: [{ source: own, target: '/own', mode: 'ro' as const }],
    };
    expect((await reported(run(request), 'status')).code).toBe(0);
    chownSync(own, testIdentity.uid, 0);
    expect(await refusal(run(request))).toMatch(`another user could have changed ${own}`);
    chownSync(own, 0, 0);
    chmodSync(join(root, 'shown'), 0o777);
    expect(await refusal(run(request))).toMatch(`another user could have changed ${join(root, 'shown')}`);
  });

  it('a bind outside of the allowed directories: by its path, by .., by a symbolic link', async () => {
    symlinkSync(join(root, 'hidden'), join(root, 'shown', 'link'));
    for (const source of [join(root, 'hidden'), `${root}/shown/../hidden`, join(root, 'shown', 'link'), '/'])
      expect(await refusal(script('true', bind(source)))).toMatch('it may not see');
    expect(await refusal(script('true', bind(join(root, 'shown', 'none'))))).toMatch('ENOENT');
  });

  it('more programs than the policy allows, even when the child asks for all of them at once', async () => {
    const asked = [1, 2, 3, 4, 5].map(() => script('sleep 60'));
    await expect.poll(() => reports.length).toBe(5);
    const refused = asked.filter((tag) => reports.some((one) => one.tag === tag && one.error));
    expect(refused).toEqual(asked.slice(3));
    for (const tag of refused) expect(await refusal(tag)).toMatch('too many programs at once');
    for (const tag of asked.slice(0, 3)) order({ tag, kill: true });
    for (const tag of asked.slice(0, 3)) await reported(tag, 'status');
    expect((await reported(script('exit 0'), 'status')).code).toBe(0);
  });

  it('an invalid request', async () => {
    expect(await refusal(script('true', { cwd: 'relative' }))).toMatch('cwd');
    expect(await refusal(script('true', { env: { 'A=B': 'x' } }))).toMatch('env');
    expect(await refusal(script('true', { env: { A: 'x\0--bind\0/\0/' } }))).toMatch('NUL');
  });

  it('every malformed message: it starts nothing, and serves the next call', async () => {
    const touch = { label: 'x', program: shell, args: ['-c', ': > /seen/ran'], ...bind(join(root, 'shown')) };
    for (const message of [
      null,
      'spawn.start',
      { type: 'spawn.start' },
      { type: 'spawn.start', id: -1, request: touch },
      { type: 'spawn.start', id: '1', request: touch },
      { type: 'spawn.start', id: 9, request: { ...touch, args: 'x' } },
      { type: 'spawn.start', id: 9, request: { ...touch, env: { 'LD PRELOAD': 'x' } } },
      { type: 'spawn.start', id: 9, request: { ...touch, limits: { timeMs: 1e12 } } },
      { type: 'spawn.go', id: 4711 },
      { type: 'spawn.kill', id: 4711 },
    ])
      order({ message });
    expect((await reported(script('exit 4'), 'status')).code).toBe(4);
    expect(existsSync(join(root, 'shown', 'ran'))).toBe(false);
  });

  it('a call whose id is in use', async () => {
    const tag = script('sleep 60'); // the first: its id is 1
    await reported(tag, 'started');
    order({ message: { type: 'spawn.start', id: 1, request: { label: 'x', program: shell, args: [] } } });
    // The refusal ends the first call for the child, which used its id twice; the program can still be killed.
    await delay(200);
    order({ message: { type: 'spawn.kill', id: 1 } });
    await expect.poll(() => (isRoot ? living(testIdentity.uid) : [])).toEqual([]);
  });
});

describe('when the helper or its child dies', () => {
  it('the helper: the child learns that its programs are dead, and its next request is refused', async () => {
    const tag = script('sleep 60');
    await reported(tag, 'started');
    child.disconnect();
    expect(await reported(tag, 'status')).toMatchObject({ signal: 'SIGKILL' });
    expect(await reported(script('true'), 'error')).toMatchObject({ code: 'spawn_failed' });
  });

  it.runIf(isRoot)('the child: all its programs are killed, even one that is being started', async () => {
    const tags = [script('sleep 60'), script('sleep 60')];
    for (const tag of tags) await reported(tag, 'started');
    expect(living(testIdentity.uid).length).toBeGreaterThan(0);
    script('sleep 60');
    await delay(5);
    child.kill('SIGKILL');
    await once(child, 'exit');
    await expect.poll(() => living(testIdentity.uid)).toEqual([]);
  });

  it('the child, before the helper knows: an answer that cannot be sent is no error of the helper', async () => {
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    const state = () => /^State:\t(.)/m.exec(readFileSync(`/proc/${child.pid}/status`, 'latin1'))?.[1];
    while (state() !== 'Z') continue; // busy: this process does not get the exit event yet
    child.emit('message', {
      type: 'spawn.start',
      id: 1,
      request: { label: 'x', program: '/none', args: [] },
    });
    await exited;
  });
});
