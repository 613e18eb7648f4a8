import { createHmac } from 'node:crypto';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { localSpawn } from '@fumehood/base';
import {
  indexingSchema,
  indexStatusSchema,
  jobRecordSchema,
  madeWebhookSchema,
  type RepositoryRecord,
  repositoryRecordSchema,
  type Tier,
} from '@fumehood/protocol';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type GitServer, startGitServer } from '../../packages/git/src/testing/git-server.ts';
import { openTestServer, type TestServer } from '../../packages/instance/src/db/testing.ts';
import { openCommits } from '../../packages/instance/src/repos/store.ts';
import { startTestInstance, type TestInstance } from '../../packages/instance/src/testing/instance.ts';
import { scipDocument, scipIndex } from '../../packages/instance/src/testing/scip.ts';

const isRoot = process.getuid?.() === 0;
const spawn = localSpawn(isRoot ? { uid: 1_900_000_003, gid: process.getgid?.() ?? 0 } : null);
const password = 'correct-horse-battery';

let server: TestServer;
let instance: TestInstance;
let remote: GitServer;
beforeAll(async () => {
  server = openTestServer();
  instance = await startTestInstance(await server.clone(), { spawn, openCommits });
  remote = await startGitServer(password);
});
afterAll(async () => {
  await instance.stop();
  remote.stop();
  await server.stop();
});

const path = '/api/repositories/acme/greeter';
const put = (body: object) => instance.api('PUT', path, { url: remote.url, ...body });
const show = async () => repositoryRecordSchema.parse(await (await instance.api('GET', path)).json());
const untilRecord = (expected: Partial<RepositoryRecord>) =>
  expect.poll(show, { timeout: 20_000 }).toMatchObject(expected);
const mirrors = () => readdir(join(instance.directory, 'repositories/mirrors'));

/** Uploads an index of a commit as an executor does. */
async function upload(commit: string, document: Buffer): Promise<void> {
  const indexer = { name: 'scip', image: await instance.image(), argv: ['index'] };
  const job = { queue: 'codeintel', repository: 'acme/greeter', commit, indexer, accept: ['vm-emulated'] };
  expect((await instance.api('POST', '/api/jobs', { ...job, priority: 9 })).status).toBe(201);
  const leased = await instance.lease({ queues: ['codeintel'] });
  expect(leased?.commit).toBe(commit);
  const query = new URLSearchParams({ repository: 'acme/greeter', commit, indexerName: 'scip' });
  const answer = await fetch(`${instance.url}/.executors/scip/upload?${query.toString()}`, {
    method: 'POST',
    headers: {
      authorization: `token-executor ${leased?.token}`,
      'content-type': 'application/x-protobuf+scip',
    },
    body: gzipSync(scipIndex([document])),
  });
  expect(answer.status, await answer.text()).toBe(202);
}

describe('a repository that the instance mirrors', () => {
  let first: string;
  test('is synced when it is added, with a credential that no answer shows', async () => {
    first = remote.commit({ 'a.ts': '1' });
    const answer = await put({ username: 'u', password });
    expect(answer.status).toBe(200);
    expect(await answer.text()).not.toContain(password);
    await untilRecord({ branch: 'refs/heads/main', commit: first, branches: 1, tags: 0, failure: null });
    expect(await (await instance.api('GET', '/api/repositories')).json()).toEqual({
      repositories: [await show()],
    });
  });

  test('has a new commit once a sync was asked for', async () => {
    const second = remote.commit({ 'a.ts': '2' });
    const answer = await instance.api('POST', '/api/syncs', { repository: 'acme/greeter' });
    expect(answer.status).toBe(202);
    await untilRecord({ commit: second });
    expect(await mirrors()).toHaveLength(1);
  });

  test('has a new commit once its code host has said that somebody pushed', async () => {
    const made = await instance.api('PUT', '/api/webhooks/acme/greeter', {});
    const { secret } = madeWebhookSchema.parse(await made.json());
    const third = remote.commit({ 'a.ts': '3' });
    const body = JSON.stringify({ ref: 'refs/heads/main', after: '1'.repeat(40) }); // it does not count what this says
    const answer = await fetch(`${instance.url}/hooks/acme/greeter`, {
      method: 'POST',
      headers: {
        'x-github-event': 'push',
        'x-hub-signature-256': `sha256=${createHmac('sha256', secret ?? '')
          .update(body)
          .digest('hex')}`,
      },
      body,
    });
    expect(answer.status, await answer.text()).toBe(202);
    await untilRecord({ commit: third });
  });

  test('gives a job one commit of it, also one that is no tip', async () => {
    const image = await instance.image();
    const job = {
      queue: 'codeintel',
      repository: 'acme/greeter',
      indexer: { name: 'i', image, argv: ['i'] },
    };
    const made = await instance.api('POST', '/api/jobs', { ...job, commit: first });
    expect(made.status, await made.clone().text()).toBe(201);
    const missing = await instance.api('POST', '/api/jobs', { ...job, commit: '1'.repeat(40) });
    expect(missing.status).toBe(404);
  });

  test('has its commits indexed, each root by one job however often it is asked for', async () => {
    const commit = remote.commit({
      'package.json': '{}',
      'tsconfig.json': '{}',
      'tool/go.mod': 'module x',
      'a b/requirements.txt': '',
    });
    await instance.api('POST', '/api/syncs', { repository: 'acme/greeter' });
    await untilRecord({ commit });
    const index = async (more: object = {}) => {
      const answer = await instance.api('POST', '/api/indexings', { repository: 'acme/greeter', ...more });
      expect(answer.status, await answer.clone().text()).toBe(200);
      return indexingSchema.parse(await answer.json());
    };
    const dry = await index({ dryRun: true });
    expect(dry).toMatchObject({ commit, source: 'inferred' });
    expect(dry.jobs.map(({ root, indexer, jobId }) => [root, indexer, jobId])).toEqual([
      ['tool', 'sourcegraph/scip-go', null],
      ['a b', 'sourcegraph/scip-python', null],
      ['', 'sourcegraph/scip-typescript', null],
    ]);
    const [one, two] = await Promise.all([index(), index()]);
    const again = await index({ revision: commit.slice(0, 9) });
    const ids = one.jobs.map(({ jobId }) => jobId);
    expect([two, again].map(({ jobs }) => jobs.map(({ jobId }) => jobId))).toEqual([ids, ids]);
    expect(again.jobs.every(({ isEarlier }) => isEarlier)).toBe(true);
    const forced = await index({ force: true });
    expect(forced.jobs.every(({ jobId }) => !ids.includes(jobId))).toBe(true);
    const job = await instance.lease({ queues: ['codeintel'], tiers: ['vm-hardware'] });
    expect(job?.dockerSteps?.[0]?.env).toContain('VM_CPUS=1');
  });

  test('is indexed as a file in it says, or not at all if that file is broken', async () => {
    const broken = remote.commit({ 'sourcegraph.yaml': 'index_jobs:\n  - indexer: a b\n' });
    await instance.api('POST', '/api/syncs', { repository: 'acme/greeter' });
    await untilRecord({ commit: broken });
    const refused = await instance.api('POST', '/api/indexings', { repository: 'acme/greeter' });
    expect([refused.status, await refused.json()]).toMatchObject([
      400,
      { error: { message: expect.stringMatching(/^sourcegraph\.yaml:2:14: /) } },
    ]);
    const commit = remote.commit({
      'fumehood.yaml': 'index_jobs: [{indexer: x.test/i:1, indexer_args: [i]}]',
    });
    await instance.api('POST', '/api/syncs', { repository: 'acme/greeter' });
    await untilRecord({ commit });
    const answer = await instance.api('POST', '/api/indexings', { repository: 'acme/greeter', dryRun: true });
    expect(await answer.json()).toMatchObject({
      source: 'fumehood.yaml',
      jobs: [{ indexer: 'x.test/i:1', root: '' }],
    });
  });

  test('is indexed as the configuration on the instance says, before any file of the commit', async () => {
    const config = (method: string, text?: string) =>
      instance.api(method, '/api/index-configs/acme/greeter', text === undefined ? undefined : { text });
    const source = async () => {
      const request = { repository: 'acme/greeter', dryRun: true };
      return indexingSchema.parse(await (await instance.api('POST', '/api/indexings', request)).json());
    };
    expect((await config('GET')).status).toBe(404);
    const text = 'index_jobs: [{root: own, indexer: x.test/own:1, indexer_args: [i]}] # ours\n';
    expect((await config('PUT', text)).status).toBe(200);
    const broken = await config('PUT', 'index_jobs:\n  - indexer: a b\n');
    expect([broken.status, await broken.json()]).toMatchObject([
      400,
      { error: { code: 'index_config_invalid', message: expect.stringMatching(/^configuration:2:14: /) } },
    ]);
    expect((await config('PUT', 'a: \0')).status).toBe(400);
    expect(await (await config('GET')).json()).toMatchObject({
      repository: 'acme/greeter',
      text,
      setBy: 'admin',
    });
    expect(await source()).toMatchObject({
      source: 'instance',
      jobs: [{ root: 'own', indexer: 'x.test/own:1' }],
    });
    const other = await instance.api('PUT', '/api/index-configs/acme/other', { text });
    expect(other.status).toBe(404);
    expect((await config('DELETE')).status).toBe(204);
    expect((await config('DELETE')).status).toBe(404);
    expect(await source()).toMatchObject({ source: 'fumehood.yaml' });
  });

  test('has index jobs with what an admin has set for it, and with the secrets that it may ask for', async () => {
    const settings = (method: string, body?: object) =>
      instance.api(method, '/api/index-settings/acme/greeter', body);
    const commit = remote.commit({
      'fumehood.yaml':
        'index_jobs: [{indexer: x.test/i:1, indexer_args: [i], requestedEnvVars: [ALLOWED, OTHER, MISSING]}]',
    });
    await instance.api('POST', '/api/syncs', { repository: 'acme/greeter' });
    await untilRecord({ commit });
    for (const name of ['ALLOWED', 'OTHER'])
      await instance.api('PUT', `/api/secrets/${name}`, { value: `value-of-${name}` });
    expect((await settings('GET')).status).toBe(404);
    expect((await settings('PUT', { broker: ['nowhere'] })).status).toBe(404);
    expect((await settings('PUT', { memoryMiB: 1 })).status).toBe(400);
    const asked = { memoryMiB: 2_000, cpus: 2, network: { mode: 'none' }, broker: [], secrets: ['ALLOWED'] };
    expect((await settings('PUT', asked)).status).toBe(200);
    expect(await (await settings('GET')).json()).toMatchObject({ settings: asked, setBy: 'admin' });
    const index = async (more: object) => {
      const answer = await instance.api('POST', '/api/indexings', { repository: 'acme/greeter', ...more });
      expect(answer.status, await answer.clone().text()).toBe(200);
      const { jobs, notes } = indexingSchema.parse(await answer.json());
      const job = await (await instance.api('GET', `/api/jobs/${jobs[0]?.jobId}`)).json();
      return { id: jobs[0]?.jobId, notes, job: jobRecordSchema.parse(job) };
    };
    const first = await index({ cpus: 3 });
    expect(first.job).toMatchObject({
      ...{ resources: { cpus: 3, memoryMiB: 2_000 }, secrets: ['ALLOWED'] },
      network: { asked: { mode: 'none' }, broker: [] },
    });
    expect(first.notes).toEqual([
      expect.stringMatching(/^the jobs do not get the secret OTHER: an admin has to allow it/),
      expect.stringMatching(/^the jobs do not get MISSING: admin has no such secret/),
    ]);
    // The configuration on the instance is an admin's, so what it asks for is allowed.
    const text = 'index_jobs: [{indexer: x.test/i:1, indexer_args: [i], requestedEnvVars: [OTHER]}]';
    await instance.api('PUT', '/api/index-configs/acme/greeter', { text });
    const forced = await index({ force: true, accept: ['container'] });
    expect(forced.job).toMatchObject({ secrets: ['OTHER'], needsVersion: 0 });
    await instance.api('DELETE', '/api/index-configs/acme/greeter');
    const tiers: Tier[] = ['vm-hardware'];
    let native = await instance.lease({ queues: ['codeintel'], tiers });
    while (native && native.id !== first.id) native = await instance.lease({ queues: ['codeintel'], tiers });
    expect(native?.dockerSteps?.[0]?.env).toEqual(
      expect.arrayContaining(['VM_MEM_MB=2000', 'ALLOWED=value-of-ALLOWED']),
    );
    expect(native?.redactedValues).toEqual({ 'value-of-ALLOWED': '[secret ALLOWED]' });
    expect((await settings('DELETE')).status).toBe(204);
    expect((await settings('DELETE')).status).toBe(404);
  });

  test('answers by the index of a commit, of an earlier one with lines carried over, or by a guess', async () => {
    const indexedCommit = remote.commit({ 'lib.ts': 'hello\nworld\n' });
    await instance.api('POST', '/api/syncs', { repository: 'acme/greeter' });
    await untilRecord({ commit: indexedCommit });
    const ask = async (line: number, question = 'definition', file = 'lib.ts') => {
      const place = { repository: 'acme/greeter', path: file, line: String(line), character: '1' };
      const answer = await instance.api(
        'GET',
        `/api/code/${question}?${new URLSearchParams(place).toString()}`,
      );
      return { status: answer.status, ...((await answer.json()) as object) };
    };
    expect(await ask(0)).toMatchObject({
      ...{ status: 200, precision: 'guess', indexedCommit: null },
      locations: [{ path: 'lib.ts', line: 0, character: 0, endCharacter: 5, symbol: '', upload: null }],
    });
    expect(await ask(0, 'hover')).toMatchObject({ status: 404, error: { code: 'not_indexed' } });
    await upload(indexedCommit, scipDocument('lib.ts', ['s m p 1 hello.', 's m p 1 world.']));
    expect(await ask(1)).toMatchObject({ precision: 'exact', indexedCommit, locations: [{ line: 1 }] });

    const commit = remote.commit({ 'lib.ts': 'first\nhello\nother\n', 'new.ts': 'other\n' });
    await instance.api('POST', '/api/syncs', { repository: 'acme/greeter' });
    await untilRecord({ commit });
    const nearby = { status: 200, commit, indexedCommit, precision: 'nearby' };
    expect(await ask(1)).toMatchObject({ ...nearby, locations: [{ commit, line: 1, endLine: 1 }] });
    expect(await ask(1, 'symbols')).toMatchObject({ ...nearby, symbols: [{ name: 'hello', line: 1 }] });
    const status = async () => {
      const answer = await instance.api('GET', '/api/indexings?repository=acme/greeter');
      return indexStatusSchema.parse(await answer.json());
    };
    expect(await status()).toMatchObject({
      ...{ tip: commit, policies: [] },
      indexes: [
        {
          ...{ commit: indexedCommit, root: '', indexer: 'scip', behind: 1, documents: 1, occurrences: 2 },
          ...{ jobId: expect.any(Number) as number, uploadedAt: expect.any(String) as string },
        },
      ],
    });
    // A line that the index does not know, and a file.
    expect(await ask(2)).toMatchObject({ precision: 'guess', locations: [{ line: 2 }, { path: 'new.ts' }] });
    expect(await ask(0, 'references', 'new.ts')).toMatchObject({ precision: 'guess' });
  });

  test('has the commits indexed that policies name, after a sync', async () => {
    const policy = (name: string, body: object) => instance.api('PUT', `/api/index-policies/${name}`, body);
    expect((await policy('releases', { kind: 'tag', pattern: 'v*', repositories: 'acme/*' })).status).toBe(
      200,
    );
    expect((await policy('others', { repositories: 'other/*' })).status).toBe(200);
    expect((await policy('old', { pattern: 'main', maxAgeSeconds: 60 })).status).toBe(200);
    remote.git('rm', '-q', 'fumehood.yaml', 'sourcegraph.yaml');
    const tagged = remote.commit({ 'go.mod': 'module y' });
    remote.git('tag', '-a', 'v1', '-m', 'v1');
    remote.git('tag', 'w1', 'HEAD~1');
    const tip = remote.commit({ 'main.go': '' }, '2001-01-01T00:00:00Z');
    await instance.api('POST', '/api/syncs', { repository: 'acme/greeter' });
    await untilRecord({ commit: tip });
    const status = async () =>
      indexStatusSchema.parse(
        await (await instance.api('GET', '/api/indexings?repository=acme/greeter')).json(),
      ).commits;
    const byPolicy = async () =>
      (await status())
        .filter(({ policy: by }) => by !== null)
        .map((one) => [one.commit, one.policy, one.jobs.length]);
    await expect.poll(byPolicy, { timeout: 20_000 }).toEqual([[tagged, 'releases', 4]]);
    const broken = (await status()).find(({ failure }) => failure !== null);
    expect(broken?.failure).toMatch(/^sourcegraph\.yaml:2:14/);
    for (const name of ['releases', 'others', 'old'])
      expect((await instance.api('DELETE', `/api/index-policies/${name}`)).status).toBe(204);
  });

  test('is made anew when its mirror is broken', async () => {
    const [place = ''] = await mirrors();
    await rm(join(instance.directory, 'repositories/mirrors', place, 'packed-refs'));
    const third = remote.commit({ 'a.ts': '5' });
    await instance.api('POST', '/api/syncs', { repository: 'acme/greeter' });
    await untilRecord({ commit: third, failure: null });
    await expect.poll(mirrors, { timeout: 20_000 }).toHaveLength(1);
    expect(await mirrors()).not.toContain(place);
  });

  test('says why it cannot be synced, keeps what it has, and is tried again', async () => {
    const { commit } = await show();
    await put({});
    await untilRecord({ commit, failure: expect.stringMatching(/it answered 401/) as string });
    const fourth = remote.commit({ 'a.ts': '4' });
    await put({ username: 'u', password });
    await untilRecord({ commit: fourth, failure: null });
  });

  test('is gone with its mirror when it is removed', async () => {
    const config = '/api/index-configs/acme/greeter';
    expect((await instance.api('PUT', config, { text: '' })).status).toBe(200);
    expect((await instance.api('GET', '/api/uploads/1')).status).toBe(200);
    expect((await instance.api('DELETE', path)).status).toBe(204);
    expect((await instance.api('GET', config)).status).toBe(404);
    expect((await instance.api('GET', '/api/uploads/1')).status).toBe(404);
    expect((await instance.api('GET', path)).status).toBe(404);
    expect((await instance.api('POST', '/api/syncs', { repository: 'acme/greeter' })).status).toBe(404);
    await expect.poll(mirrors, { timeout: 20_000 }).toEqual([]); // a sync that ran meanwhile removes what it made
  });

  test.each([
    ['a URL of another protocol', { url: 'file:///etc' }],
    ['a URL with a password', { url: 'https://a:b@host/x' }],
    ['a user without a password', { username: 'u' }],
    ['an interval that is too short', { intervalSeconds: 1 }],
  ])('is refused with %s', async (_, body) => {
    expect((await put(body)).status).toBe(400);
  });
});
