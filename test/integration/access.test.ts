import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { QueueName } from '@fumehood/protocol';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { openTestServer, type TestServer } from '../../packages/instance/src/db/testing.ts';
import { startTestInstance, type TestInstance } from '../../packages/instance/src/testing/instance.ts';

/** Tests the commands of the command line against a real instance. */
const command = resolve(import.meta.dirname, '../../packages/fumehood/bin/fumehood.mjs');

let server: TestServer;
let instance: TestInstance;
let state: string;
let helper: ChildProcess;

beforeAll(async () => {
  server = openTestServer();
  state = await mkdtemp(join(tmpdir(), 'fumehood-access-'));
  const runtime = join(state, 'runtime/test');
  for (const directory of [runtime, join(state, 'run')]) await mkdir(directory, { recursive: true });
  // A process that looks like the instance's helper: the instance itself runs in this process.
  const script = join(runtime, 'instance-helper.mjs');
  await writeFile(script, 'setInterval(() => {}, 60_000)');
  helper = spawn(process.execPath, [script], { stdio: 'ignore' });
});
afterAll(async () => {
  helper.kill();
  await rm(state, { recursive: true });
  await server.stop();
});
beforeEach(async () => {
  instance = await startTestInstance(await server.clone());
  const { socket, url } = instance;
  await writeFile(join(state, 'run/instance.json'), JSON.stringify({ socket, url, pid: helper.pid }));
  await writeFile(join(state, 'run/token'), `${instance.accessToken}\n`);
  return () => instance.stop();
});

interface Ended {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

function fumehood(...args: string[]): Promise<Ended> {
  return new Promise((done) => {
    const env = { PATH: process.env.PATH, HOME: state, FUMEHOOD_STATE: state };
    execFile(process.execPath, [command, ...args], { env }, (error, stdout, stderr) => {
      done({ status: error ? Number(error.code) : 0, stdout, stderr });
    });
  });
}

/** Runs a command that makes a secret, and returns the secret. The command prints nothing else on stdout. */
async function secretOf(...args: string[]): Promise<string> {
  const { status, stdout, stderr } = await fumehood(...args);
  expect({ status, stderr }).toEqual({
    status: 0,
    stderr: 'this is the only time that the secret is shown\n',
  });
  expect(stdout).toMatch(/^[0-9a-f]{40}\n$/);
  return stdout.trim();
}

const status = async (path: string, secret: string) =>
  (await instance.api('GET', path, undefined, { authorization: `token ${secret}` })).status;
const dequeue = async (secret: string, queue: QueueName = 'runs') =>
  (await instance.executor({ credential: secret }).dequeue({ queues: [queue] })).status;

describe('fumehood tokens', () => {
  test('creates a token that is valid for its scopes, lists it without its secret, and revokes it', async () => {
    const secret = await secretOf('tokens', 'create', 'ci', '--scope', 'jobs:read', '--days', '30');
    expect(await status('/api/jobs', secret)).toBe(200);
    expect(await status('/api/access/users', secret)).toBe(403);
    const { stdout } = await fumehood('tokens', 'list');
    expect(stdout).toMatch(/^ID +NAME +USER +SCOPES +USED +EXPIRES\n/);
    expect(stdout).toMatch(
      /^2 +ci +admin +jobs:read +\d{4}-\d\d-\d\d \d\d:\d\d +\d{4}-\d\d-\d\d \d\d:\d\d$/m,
    );
    expect(stdout).not.toContain(secret);
    expect(await fumehood('tokens', 'revoke', 'ci')).toEqual({
      status: 0,
      stdout: '',
      stderr: 'the access token ci of admin is revoked\n',
    });
    expect(await status('/api/jobs', secret)).toBe(401);
  });

  test('creates tokens of other users, and identifies them by id where the name is ambiguous', async () => {
    expect((await fumehood('users', 'create', 'ann')).status).toBe(0);
    expect((await fumehood('users', 'list')).stdout).toMatch(/^admin +yes .*\nann +no /m);
    await secretOf('tokens', 'create', 'ci', '--scope', 'jobs:read');
    const secret = await secretOf('tokens', 'create', 'ci', '--user', 'ann', '--scope', 'jobs:read');
    expect(await fumehood('tokens', 'revoke', 'ci')).toEqual({
      status: 2,
      stdout: '',
      stderr: 'fumehood: ci is the name of more than one access token\n  Give the id of one of them: 2, 3.\n',
    });
    expect((await fumehood('tokens', 'revoke', '3')).status).toBe(0);
    expect(await status('/api/jobs', secret)).toBe(401);
  });

  test('prints one JSON object with --json', async () => {
    const made = await fumehood(
      'tokens',
      'create',
      'ci',
      '--scope',
      'tokens',
      '--scope',
      'jobs:read',
      '--json',
    );
    const token = JSON.parse(made.stdout) as { secret: string };
    expect(token).toMatchObject({
      name: 'ci',
      user: 'admin',
      scopes: ['tokens', 'jobs:read'],
      expiresAt: null,
    });
    expect(await status('/api/access/tokens', token.secret)).toBe(200);
    const listed = await fumehood('tokens', 'list', '--json');
    expect(JSON.parse(listed.stdout)).toMatchObject({ tokens: [{ name: 'ci' }, { name: 'first' }] });
  });

  test('says what is wrong and what to do', async () => {
    await secretOf('tokens', 'create', 'ci', '--scope', 'jobs:read');
    expect(await fumehood('tokens', 'create', 'ci', '--scope', 'jobs:read')).toEqual({
      status: 1,
      stdout: '',
      stderr:
        'fumehood: there is already an access token of admin with the name ci\n  Choose another name.\n',
    });
    expect(await fumehood('tokens', 'revoke', 'other')).toEqual({
      status: 2,
      stdout: '',
      stderr: 'fumehood: there is no access token other\n  List them with `fumehood tokens list`.\n',
    });
  });
});

describe('fumehood executors', () => {
  const credentials = (...args: string[]) => fumehood('executors', 'credentials', ...args);

  test('creates a credential for its queues, rotates it with an overlap, and revokes it', async () => {
    const first = await secretOf('executors', 'credentials', 'create', 'lab', '--queue', 'runs');
    expect([await dequeue(first), await dequeue(first, 'codeintel')]).toEqual([204, 403]);
    const second = await secretOf('executors', 'credentials', 'rotate', 'lab', '--overlap', '1');
    expect([await dequeue(first), await dequeue(second)]).toEqual([204, 204]);
    const { stdout } = await credentials('list');
    expect(stdout.match(/^2 +lab +runs .*$/gm)).toHaveLength(2);
    expect((await credentials('revoke', 'lab', '--replaced')).status).toBe(0);
    expect([await dequeue(first), await dequeue(second)]).toEqual([401, 204]);
    expect((await credentials('revoke', 'lab')).stderr).toBe('the credential lab is revoked\n');
    expect(await dequeue(second)).toBe(401);
    expect((await credentials('rotate', 'lab')).status).toBe(2);
  });

  test('lists the connected executors', async () => {
    expect((await fumehood('executors', 'list')).stdout).toBe('no executor is connected\n');
    await instance.lease();
    expect((await fumehood('executors', 'list')).stdout).toMatch(/^e1 +0\.1\.0 +vm-emulated /m);
    const { stdout } = await fumehood('executors', 'list', '--json');
    expect(JSON.parse(stdout)).toMatchObject({ executors: [{ name: 'e1' }] });
  });

  test('shows why an executor leases nothing by itself, until its heartbeat says that it leases again', async () => {
    const executor = instance.executor();
    const beat = async (trouble?: string) => {
      const fumehood = { tiers: ['vm-emulated' as const], ...(trouble !== undefined && { trouble }) };
      expect((await executor.heartbeat({ queueNames: ['runs'], fumehood })).status).toBe(200);
    };
    const list = async () => (await fumehood('executors', 'list')).stdout;
    for (const trouble of ['the disk is full', 'too many open files']) {
      await beat(trouble); // the first one registers the executor
      expect(await list()).toMatch(/^e1 .* stopped /m);
      expect(await list()).toContain(`a reason of the machine: ${trouble}\n`);
    }
    const { id } = await instance.run();
    const why = (await fumehood('jobs', 'why', String(id))).stdout;
    expect(why).toContain('several failed there for a reason of the machine: e1 (too many open files)');
    await beat();
    expect(await list()).toMatch(/^e1 .* yes /m);
    expect((await fumehood('jobs', 'why', String(id))).stdout).not.toContain('too many open files');
  });

  test('stops an executor from leasing, and lets it lease again', async () => {
    await instance.lease();
    const drained = await fumehood('executors', 'drain', 'e1');
    expect(drained).toEqual({ status: 0, stdout: '', stderr: 'the executor e1 leases nothing more\n' });
    expect((await fumehood('executors', 'list')).stdout).toMatch(/^e1 .* nothing more /m);
    const { stdout } = await fumehood('executors', 'resume', 'e1', '--json');
    expect(JSON.parse(stdout)).toEqual({ executor: 'e1', draining: false });
    expect((await fumehood('executors', 'list')).stdout).toMatch(/^e1 .* yes /m);
    expect(await fumehood('executors', 'drain', 'e2')).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('there is no executor "e2"'),
    });
  });
});
