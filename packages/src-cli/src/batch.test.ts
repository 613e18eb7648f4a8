import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { systemClock } from '@fumehood/base';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { exitCodeOf, makeCommand, withTwoDashes } from './command.ts';

const id = '1'.repeat(32);
const counts = { skipped: 0, pending: 0, queued: 0, processing: 0, completed: 1, failed: 0, canceled: 0 };
const spec = {
  ...{ id, namespace: 'ann', name: 'greet', creator: 'ann', state: 'completed', origin: 'server', text: '' },
  ...{ resolution: 'completed', resolutionFailure: null, allowIgnored: false, allowUnsupported: false },
  ...{ noCache: false, options: {}, workspaces: counts, createdAt: '', executedAt: '', builtAt: '' },
  buildFailure: null,
};
const workspace = {
  ...{ id, repository: 'acme/a\x1b', branch: 'refs/heads/main', commit: '', path: 'web', jobId: 1 },
  ...{ onlyFetchWorkspace: false, ignored: false, unsupported: false, state: 'completed', reason: null },
  ...{ stepCount: 1, steps: [], queuedAt: null, startedAt: null, finishedAt: null },
};
const previewed = {
  ...{
    changeset: null,
    changesetSpec: id,
    repository: 'acme/a',
    headRef: 'refs/heads/greet',
    title: 'Greet',
  },
  ...{ externalId: null, published: true, stat: null, operations: ['push', 'publish'] },
};
const batchChange = {
  ...{ id, namespace: 'ann', name: 'greet', description: '', creator: 'ann', state: 'open', spec: id },
  ...{ appliedBy: 'ann', appliedAt: '', waves: null, wavesStopped: null, changesets: {}, createdAt: '' },
  ...{ updatedAt: '', closedAt: null },
};

/** What the instance says of the execution. */
const events = () => [
  { type: 'workspace', workspace },
  { type: 'spec', ...((answers[id] as typeof spec | undefined) ?? spec) },
];

let directory: string;
let server: Server;
let endpoint: string;
let asked: { route: string; token: string | undefined; body: string }[];
let printed: string[];
/** What the instance answers, by the end of the path. */
let answers: Record<string, unknown>;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'fumehood-src-batch-'));
  [asked, printed] = [[], []];
  answers = {
    preview: {
      batchChange: null,
      namespace: 'ann',
      name: 'greet',
      changesets: [previewed],
      stats: { push: 1 },
    },
    apply: batchChange,
    changesets: { changesets: [] },
    'a.sh': { id, path: 'a.sh', digest: `sha256:${'0'.repeat(64)}`, bytes: 4 },
  };
  server = createServer((request, response) => {
    void text(request).then((body) => {
      const [path = ''] = (request.url ?? '').split('?');
      const { authorization: token } = request.headers;
      asked.push({ route: `${request.method} ${path}`, token, body });
      if (path.endsWith('/events')) {
        response.setHeader('content-type', 'text/event-stream');
        response.end(
          events()
            .map((event) => `data: ${JSON.stringify(event)}\n\n`)
            .join(''),
        );
        return;
      }
      const answer = answers[path.split('/').at(-1) ?? ''] ?? spec;
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify(answer));
    });
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(() => {
  server.close();
  rmSync(directory, { recursive: true });
});

const file = (
  spec = `name: greet\nsteps: [{run: 'true', container: alpine, mount: [{path: a.sh, mountpoint: /a}]}]
changesetTemplate: {title: a, branch: b, commit: {message: c}}\n`,
) => {
  const path = join(directory, 'batch.spec.yaml');
  writeFileSync(join(directory, 'a.sh'), 'echo');
  writeFileSync(path, spec);
  return path;
};
const src = (...args: string[]) =>
  makeCommand({
    environment: { SRC_ENDPOINT: endpoint, SRC_ACCESS_TOKEN: 'secret' },
    ...{
      clock: systemClock,
      version: '1',
      stdin: Readable.from([]),
      print: (line) => void printed.push(line),
    },
  }).parseAsync(withTwoDashes(['batch', ...args]), { from: 'user' });

it('preview sends the batch spec with what it mounts, runs it, and shows what would happen', async () => {
  await src('preview', '-f', file(), '-namespace', 'org/acme', '-allow-ignored', '-clear-cache');
  expect(asked.map(({ route }) => route)).toEqual([
    'POST /api/batch-specs',
    `PUT /api/batch-specs/${id}/files/a.sh`,
    `POST /api/batch-specs/${id}/execute`,
    `GET /api/batch-specs/${id}/events`,
    `GET /api/batch-specs/${id}`,
    `GET /api/batch-specs/${id}/preview`,
  ]);
  expect(new Set(asked.map(({ token }) => token))).toEqual(new Set(['token secret']));
  expect(JSON.parse(asked[0]?.body ?? '')).toMatchObject({
    ...{ namespace: 'org/acme', allowIgnored: true, allowUnsupported: false, noCache: true },
    text: readFileSync(join(directory, 'batch.spec.yaml'), 'utf8'),
  });
  expect(printed).toEqual([
    `The instance runs it as ${id}: fumehood batches cancel ${id} ends that.`,
    'acme/a?/web: completed',
    'push, publish: acme/a refs/heads/greet Greet',
    expect.stringContaining('1 changeset; nothing has happened yet: src batch apply -f '),
  ]);
});

it('apply runs it, and has it applied', async () => {
  await src('apply', '-f', file());
  expect(asked.map(({ route }) => route)).toContain(`POST /api/batch-specs/${id}/apply`);
  expect(printed.at(-1)).toBe(`Applied to ann/greet (${id}), with 0 changesets.`);
});

it('remote does not wait for the end', async () => {
  await src('remote', '-f', file());
  expect(asked.at(-1)?.route).toBe(`POST /api/batch-specs/${id}/execute`);
});

it('repositories lists them without their execution', async () => {
  await src('repositories', '-f', file());
  expect(printed).toEqual(['acme/a?']);
  expect(asked.map(({ route }) => route)).not.toContain(`POST /api/batch-specs/${id}/execute`);
});

it.each(['preview', 'apply'])('%s of what has failed ends with 1, and applies nothing', async (command) => {
  answers[id] = { ...spec, state: 'failed' };
  const run = src(command, '-f', file());
  await expect(run).rejects.toMatchObject({
    code: 'batch_failed',
    message: expect.stringContaining('failed'),
  });
  expect(await run.catch(exitCodeOf)).toBe(1);
  expect(asked.map(({ route }) => route)).not.toContain(`POST /api/batch-specs/${id}/apply`);
});

it('validate and new ask nobody, and new makes what validate accepts', async () => {
  const path = join(directory, 'new.yaml');
  await src('new', '-f', path);
  await src('validate', '-f', path);
  expect(printed).toEqual([`${path} created.`, 'Batch spec successfully validated.']);
  await expect(src('new', '-f', path)).rejects.toMatchObject({ code: 'file_exists' });
  await expect(src('validate', '-f', file('name: a b'))).rejects.toMatchObject({
    code: 'batch_spec_invalid',
  });
  expect(asked).toEqual([]);
});

it('a request without a token is not sent', async () => {
  const command = makeCommand({
    environment: { SRC_ENDPOINT: endpoint },
    ...{ clock: systemClock, version: '1', stdin: Readable.from([]), print: () => {} },
  });
  await expect(command.parseAsync(['batch', 'remote', '-f', file()], { from: 'user' })).rejects.toMatchObject(
    {
      code: 'settings_invalid',
    },
  );
  expect(asked).toEqual([]);
});
