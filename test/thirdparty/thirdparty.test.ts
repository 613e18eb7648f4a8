import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { jobRecordSchema } from '@fumehood/protocol';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openTestServer, type TestServer } from '../../packages/instance/src/db/testing.ts';
import { startTestInstance, type TestInstance } from '../../packages/instance/src/testing/instance.ts';

/**
 * The docs are enough to write an executor and a client: `executor.py` and `client.py` use Python's standard library alone and were
 * written from docs/ alone. Change them only as their docs change.
 */
let server: TestServer;
let instance: TestInstance;
let executor: ChildProcess;
let directory: string;
let image: string;

const script = (name: string) => join(import.meta.dirname, name);
function python(name: string, args: readonly string[], env: Readonly<Record<string, string>>) {
  return spawn('python3', [script(name), ...args], {
    cwd: directory,
    env: { PATH: process.env.PATH, PYTHONDONTWRITEBYTECODE: '1', FUMEHOOD_URL: instance.url, ...env },
    stdio: 'pipe',
  });
}
const startExecutor = () =>
  python('executor.py', [], { EXECUTOR_NAME: 'python', EXECUTOR_CREDENTIAL: instance.credential });

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}
async function client(args: readonly string[], input = '', token = instance.accessToken): Promise<Ended> {
  const child = python('client.py', args, { FUMEHOOD_TOKEN: token });
  child.stdin.end(input);
  const code = new Promise<number>((resolve) => child.once('close', resolve));
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
  return { code: await code, stdout, stderr };
}
const recordOf = ({ stdout, stderr }: Ended) =>
  jobRecordSchema.parse(JSON.parse((stderr || stdout).trim().split('\n').at(-1) ?? ''));
const state = async (id: string) => recordOf(await client(['show', id])).state;

beforeAll(async () => {
  server = openTestServer();
  instance = await startTestInstance(await server.clone());
  directory = mkdtempSync(join(tmpdir(), 'thirdparty-'));
  image = join(directory, 'image.tar');
  writeFileSync(image, 'an image archive');
  executor = startExecutor();
});
afterAll(async () => {
  executor.kill('SIGKILL');
  await instance.stop();
  await server.stop();
  rmSync(directory, { recursive: true });
});

describe('the client and the executor in Python', () => {
  test('run a command, and stream its output', async () => {
    const ended = await client([
      'run',
      image,
      '--',
      'sh',
      '-c',
      'echo one; sleep 0.2; echo two; echo three >&2',
    ]);
    expect(ended).toMatchObject({ code: 0, stdout: 'one\ntwo\nthree\n' });
    expect(recordOf(ended)).toMatchObject({
      ...{ state: 'completed', executor: 'python', tier: 'container', vmm: null, leftOver: null },
    });
  });

  test('forward stdin', async () => {
    const ended = await client(['run', image, '--stdin', '--', 'sort'], 'b\na\n');
    expect(ended).toMatchObject({ code: 0, stdout: 'a\nb\n' });
  });

  test('report a failure, with any last lines, once', async () => {
    const ended = await client(['run', image, '--', 'sh', '-c', String.raw`printf 'no\0\377\n' >&2; exit 7`]);
    expect(ended.code).toBe(7);
    const record = recordOf(ended);
    expect(record).toMatchObject({ state: 'failed', attempt: 1, failure: { reason: 'step_failed' } });
    expect(record.failure?.message).toContain('no␀');
  });

  test('try a job again whose executor failed, as often as it allows', async () => {
    const ended = await client(['run', image, '--retries', '1', '--', '/nonexistent']);
    const { id, state: end, failure } = recordOf(ended);
    expect([end, failure?.reason]).toEqual(['failed', 'internal']);
    const { stdout } = await client(['attempts', String(id)]);
    expect(JSON.parse(stdout)).toMatchObject([{ outcome: 'errored' }, { outcome: 'failed' }]);
  });

  test('cancel a job, whose command is dead when it has ended', async () => {
    const id = (
      await client(['start', image, '--', 'sh', '-c', 'echo begun; exec sleep 4711'])
    ).stdout.trim();
    await expect.poll(async () => (await client(['logs', id])).stdout, { timeout: 10_000 }).toBe('begun\n');
    await client(['cancel', id]);
    expect(recordOf(await client(['wait', id]))).toMatchObject({ state: 'canceled' });
    expect(spawnSync('pgrep', ['-f', '^sleep 4711$']).status).toBe(1);
  });

  test('lose a lease, and run the job again', async () => {
    const id = (
      await client(['start', image, '--', 'sh', '-c', 'echo begun; sleep 3; echo done'])
    ).stdout.trim();
    await expect.poll(async () => (await client(['logs', id])).stdout, { timeout: 10_000 }).toBe('begun\n');
    executor.kill('SIGSTOP');
    await expect.poll(() => state(id), { timeout: 20_000 }).toBe('queued');
    executor.kill('SIGCONT');
    expect(recordOf(await client(['wait', id]))).toMatchObject({ state: 'completed', attempt: 2 });
    expect((await client(['logs', id])).stdout).toBe('begun\nbegun\ndone\n');
    expect((await client(['events', id])).stdout).toContain('output done');
  });

  test('make a token of their own, which can do no more than it says', async () => {
    const token = (await client(['token', 'mine', 'jobs:read'])).stdout.trim();
    expect((await client(['show', '1'], '', token)).code).toBe(0);
    const refused = await client(['cancel', '1'], '', token);
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('403')]);
  });

  test('hold a name: another machine that uses it is refused and told', async () => {
    const other = spawn('python3', [script('executor.py')], {
      cwd: tmpdir(), // the directory is a part of what tells it from the first one
      env: {
        ...{ PATH: process.env.PATH, PYTHONDONTWRITEBYTECODE: '1', FUMEHOOD_URL: instance.url },
        ...{ EXECUTOR_NAME: 'python', EXECUTOR_CREDENTIAL: instance.credential },
      },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    setTimeout(() => other.kill('SIGKILL'), 4_000);
    const told = await text(other.stderr);
    expect(told).toContain('409');
    expect(told).toContain('another machine uses the executor name');
    expect((await client(['run', image, '--', 'true'])).code).toBe(0);
  });
});

test('the paths in the client are paths of the document', () => {
  const { paths } = JSON.parse(
    readFileSync(join(import.meta.dirname, '../../docs/openapi.json'), 'utf8'),
  ) as {
    paths: Record<string, unknown>;
  };
  const known = Object.keys(paths).map((path) => path.replaceAll(/\{\w+\}/g, '{}'));
  const used = [...readFileSync(script('client.py'), 'utf8').matchAll(/'(\/api\/[^'?]*)/g)].map(
    ([, path = '']) =>
      path
        .replaceAll(/\{args\[0\]\}|\{job\}|\{digest\}/g, '{}')
        .replace('{what}', '')
        .replace(/\{'.*/, ''),
  );
  expect(used.length).toBeGreaterThan(6);
  expect(known).toEqual(expect.arrayContaining(used));
});
