import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { json as jsonOf, text } from 'node:stream/consumers';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { jobRecord, json, TestServer } from '../../packages/client/src/testing/server.ts';

/** Tests what `fumehood run` does with its streams, its terminal and its job, at a scripted instance: no VM shows more of it. */
const command = resolve(import.meta.dirname, '../../packages/fumehood/bin/fumehood.mjs');
const image = 'oci:layout';

let directory: string;
let server: TestServer;
/** What the instance was asked: jobs, and cancels. */
let jobs: { readonly stdin: boolean }[];
let canceled: number;
/** Ends the job that is followed as canceled. */
let endCanceled: () => void;
/** Whether the job ends by itself. */
let endsAlone: boolean;
let hasImage: boolean;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'fumehood-run-'));
  const blobs = join(directory, 'layout/blobs/sha256');
  mkdirSync(blobs, { recursive: true });
  const blob = (value: object) => {
    const content = JSON.stringify(value);
    const hex = createHash('sha256').update(content).digest('hex');
    writeFileSync(join(blobs, hex), content);
    return { digest: `sha256:${hex}`, size: content.length };
  };
  const config = blob({ os: 'linux', architecture: 'amd64' });
  const index = { manifests: [blob({ config, layers: [] })] };
  writeFileSync(join(directory, 'layout/index.json'), JSON.stringify(index));
  server = await new TestServer((response, request) => void answer(response, request)).start();
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true });
});
beforeEach(() => {
  [jobs, canceled, endsAlone, hasImage] = [[], 0, true, true];
});

/** Answers as an instance: the job runs until it ends by itself, or is canceled. */
async function answer(response: ServerResponse, request: IncomingMessage): Promise<void> {
  const { method, url } = request;
  if (method === 'HEAD') return void response.writeHead(hasImage ? 200 : 404).end();
  if (method === 'PUT') {
    await text(request);
    return json({})(response);
  }
  if (url === '/api/jobs') {
    jobs.push((await jsonOf(request)) as { stdin: boolean });
    return json(jobRecord('queued'))(response);
  }
  if (url?.startsWith('/api/jobs/1/input')) return json({ offset: (await text(request)).length })(response);
  if (url === '/api/jobs/1/cancel') {
    canceled += 1;
    endCanceled();
    return json(jobRecord('processing'))(response);
  }
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.write(`id: 1\ndata: ${JSON.stringify({ type: 'job', job: jobRecord('processing') })}\n\n`);
  const end = (state: 'completed' | 'canceled') => {
    const job = { ...jobRecord(state), exitCode: state === 'completed' ? 0 : null };
    response.end(`id: 2\ndata: ${JSON.stringify({ type: 'job', job })}\n\n`);
  };
  if (endsAlone) end('completed');
  endCanceled = () => end('canceled');
}

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Starts a script of the shell, in which `fumehood` is the command line of this instance. */
function start(script: string): { readonly child: ChildProcess; readonly ended: Promise<Ended> } {
  const shell = `fumehood() { "$NODE" "$COMMAND" "$@"; }\n${script}`;
  const child = spawn('bash', ['-c', shell], {
    cwd: directory,
    detached: true,
    stdio: ['pipe', 'pipe', 'pipe'],
    env: {
      ...{ PATH: process.env.PATH, HOME: directory, NODE: process.execPath, COMMAND: command },
      ...{ FUMEHOOD_STATE: join(directory, 'state'), FUMEHOOD_URL: server.url, FUMEHOOD_TOKEN: 'secret' },
    },
  });
  const ended = Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]).then(
    ([stdout, stderr, [code]]) => ({ code: code as number | null, stdout, stderr }),
  );
  return { child, ended };
}

describe('stdin', () => {
  test('is open and nobody writes to it: run ends with its command', async () => {
    const { child, ended } = start(`fumehood run ${image} -- true`);
    expect(await ended).toMatchObject({ code: 0 });
    expect(jobs).toMatchObject([{ stdin: true }]);
    child.stdin?.destroy();
  });

  test.each([
    ['--no-stdin', ['1', '2', '3']],
    ['', ['1']],
  ])('of a loop of the shell that reads it, with %j', async (option, read) => {
    const script = `printf '1\\n2\\n3\\n' | while read -r line; do echo "$line"; fumehood run ${option} ${image} -- true; done`;
    const { stdout } = await start(script).ended;
    expect(stdout.trim().split('\n')).toEqual(read);
    expect(jobs).toHaveLength(read.length);
    expect(jobs[0]?.stdin).toBe(option === '');
  });
});

describe('a job that goes on', () => {
  beforeEach(() => {
    endsAlone = false;
  });
  const asked = (count: number) => expect.poll(() => jobs.length, { timeout: 10_000 }).toBe(count);

  test.each(['SIGHUP', 'SIGTERM', 'SIGINT'] as const)(
    'is canceled by %s to run and its group',
    async (name) => {
      const { child, ended } = start(`exec "$NODE" "$COMMAND" run ${image} -- sleep 60`);
      await asked(1);
      process.kill(child.pid as number, name);
      if (name !== 'SIGINT') process.kill(-(child.pid as number), name);
      expect((await ended).code).toBe(130);
      expect(canceled).toBe(1);
    },
  );

  test('goes on with --detach, which prints its number and how to follow it', async () => {
    const { code, stdout, stderr } = await start(`fumehood run --detach ${image} -- sleep 60`).ended;
    expect({ code, stdout }).toEqual({ code: 0, stdout: '1\n' });
    expect(stderr).toContain('jobs logs --follow 1`');
    expect(stderr).toContain('jobs cancel 1`');
    expect(jobs).toMatchObject([{ stdin: false }]);
    expect(canceled).toBe(0);
  });

  test('goes on when `jobs logs --follow` is ended', async () => {
    const before = server.requests.length;
    const { child, ended } = start('exec "$NODE" "$COMMAND" jobs logs --follow 1');
    await expect.poll(() => server.requests.length).toBeGreaterThan(before);
    child.kill('SIGHUP');
    expect((await ended).code).not.toBe(0);
    expect(canceled).toBe(0);
  });
});

test('the progress of sending the image is JSON on stdout with --json, before the line of the job', async () => {
  hasImage = false;
  const { stdout, stderr } = await start(`fumehood run --json --no-stdin ${image} -- true`).ended;
  const lines = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  const job = lines.pop();
  expect(lines.length).toBeGreaterThanOrEqual(2);
  const total = lines[0]?.totalBytes;
  expect(lines[0]).toEqual({
    event: 'sending_image',
    digest: expect.stringMatching(/^sha256:/),
    sentBytes: 0,
    totalBytes: expect.any(Number),
  });
  expect(lines.at(-1)).toMatchObject({ event: 'sending_image', sentBytes: total, totalBytes: total });
  expect(job).toMatchObject({ id: 1, state: 'completed' });
  expect(stderr).toBe('');
});
