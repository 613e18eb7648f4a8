import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { localSpawn, systemClock } from '@fumehood/base';
import { repositoryRecordSchema, setCodeHostSchema } from '@fumehood/protocol';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { createBatchSpec } from '../../packages/instance/src/batches/specs.ts';
import { openBlobStore } from '../../packages/instance/src/blobs/store.ts';
import { commentChangesets, mergeChangesets } from '../../packages/instance/src/changesets/actions.ts';
import { applyBatchSpec } from '../../packages/instance/src/changesets/apply.ts';
import { listChangesets } from '../../packages/instance/src/changesets/batch-changes.ts';
import {
  addChangesetSpecs,
  createChangesetSpecs,
} from '../../packages/instance/src/changesets/client-specs.ts';
import { clientSpec, diffAdding, personNamed } from '../../packages/instance/src/changesets/testing.ts';
import type { CodeHost } from '../../packages/instance/src/code-hosts/code-host.ts';
import { codeHostOf } from '../../packages/instance/src/code-hosts/host-of.ts';
import { setCodeHost } from '../../packages/instance/src/code-hosts/records.ts';
import { testCodeHost } from '../../packages/instance/src/code-hosts/testing/contract.ts';
import type { HostControl } from '../../packages/instance/src/code-hosts/testing/forge.ts';
import { addOpenChangeset, readHostFacts } from '../../packages/instance/src/code-hosts/testing/rows.ts';
import { openTestServer, type TestServer } from '../../packages/instance/src/db/testing.ts';
import { transaction } from '../../packages/instance/src/db/transaction.ts';
import { readSecretsKey } from '../../packages/instance/src/secrets/key.ts';
import { openVault } from '../../packages/instance/src/secrets/vault.ts';
import { openStaging } from '../../packages/instance/src/staging.ts';
import { startTestInstance, type TestInstance } from '../../packages/instance/src/testing/instance.ts';
import { type Gitea, type GiteaUser, startGitea } from './gitea.ts';

const buildMs = 1_800_000;
const webhookSecret = 'a-secret-of-the-code-host';
const states = { passed: 'success', failed: 'failure', pending: 'pending' } as const;
const events = { approved: 'APPROVED', changes_requested: 'REQUEST_CHANGES' } as const;

let server: TestServer;
let instance: TestInstance;
let gitea: Gitea;
let bot: GiteaUser;
let reviewer: GiteaUser;
beforeAll(async () => {
  server = openTestServer();
  const spawn = localSpawn(
    process.getuid?.() === 0 ? { uid: 1_900_000_005, gid: process.getgid?.() ?? 0 } : null,
  );
  instance = await startTestInstance(await server.clone(), { spawn });
  gitea = await startGitea();
  bot = gitea.addUser('bot');
  reviewer = gitea.addUser('reviewer');
  const vault = openVault(await readSecretsKey(join(instance.directory, 'run/secrets-key')));
  const set = { kind: 'gitea', url: gitea.url, token: bot.token, webhookSecret } as const;
  await setCodeHost(instance.db, vault, 'gitea', setCodeHostSchema.parse(set), 'admin');
}, buildMs);
afterAll(async () => {
  await gitea?.stop();
  await instance.stop();
  await server.stop();
});

/** Makes a repository with the branches `main`, `next` and `topic/one`, which the instance mirrors; returns what others do there. */
async function repository(name: string, owner = bot): Promise<HostControl> {
  await gitea.api(owner, 'POST', '/user/repos', { name });
  const directory = mkdtempSync(join(tmpdir(), 'pushed-'));
  const git = (...args: string[]) =>
    execFileSync('git', ['-C', directory, '-c', 'user.name=t', '-c', 'user.email=t@t', ...args], {
      ...{ encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] },
    }).trim();
  git('init', '-q', '-b', 'main');
  git('commit', '-q', '--allow-empty', '-m', 'first');
  git('branch', 'next');
  git('checkout', '-q', '-b', 'topic/one');
  writeFileSync(join(directory, 'file'), 'of the topic\n');
  git('add', '-A');
  git('commit', '-qm', 'second');
  const url = new URL(`/${owner.name}/${name}.git`, gitea.url);
  git(
    'push',
    '-q',
    Object.assign(new URL(url), { username: owner.name, password: owner.token }).href,
    'main',
    'next',
    'topic/one',
  );
  const headCommit = git('rev-parse', 'topic/one');
  // Gitea takes notice of the first branches after it has answered.
  const found = () => gitea.api(owner, 'GET', `/repos/${owner.name}/${name}`);
  await vi.waitFor(async () => expect(await found()).toMatchObject({ empty: false }), 10_000);
  rmSync(directory, { recursive: true });
  const mirrored = { url: url.href, username: owner.name, password: owner.token };
  expect((await instance.api('PUT', `/api/repositories/${name}`, mirrored)).status).toBe(200);
  const at = `/repos/${owner.name}/${name}`;
  return {
    host: await hostOf(name),
    ...{ head: 'topic/one', headCommit, bases: ['main', 'next'] },
    review: async (id, verdict) =>
      void (await gitea.api(reviewer, 'POST', `${at}/pulls/${id}/reviews`, {
        event: events[verdict],
        body: 'so',
      })),
    check: async (result) =>
      void (await gitea.api(bot, 'POST', `${at}/statuses/${headCommit}`, {
        state: states[result],
        context: 'ci',
      })),
    async comments(id) {
      const comments = (await gitea.api(bot, 'GET', `${at}/issues/${id}/comments`)) as { body: string }[];
      return comments.map(({ body }) => body);
    },
    async merge(id) {
      // Gitea has to find out first whether it can be merged.
      const merged = () => gitea.api(reviewer, 'POST', `${at}/pulls/${id}/merge`, { Do: 'squash' });
      await vi.waitFor(merged, { timeout: 10_000, interval: 500 });
    },
    remove: async (id) => void (await gitea.api(bot, 'DELETE', `${at}/issues/${id}`)),
  };
}

async function hostOf(name: string): Promise<CodeHost> {
  const vault = openVault(await readSecretsKey(join(instance.directory, 'run/secrets-key')));
  const host = await codeHostOf({ db: instance.db, vault, clock: systemClock }, name);
  if (!host) throw new Error(`${name} is on no code host`);
  return host;
}

describe('a repository on Gitea', () => {
  let control: HostControl;
  beforeAll(async () => {
    control = await repository('one');
  });
  testCodeHost(() => control);

  test('that the token does not show has an error of its own', async () => {
    const missing = { url: `${gitea.url}/bot/missing` };
    await instance.api('PUT', '/api/repositories/missing', missing);
    const host = await hostOf('missing');
    await expect(host.read('1')).rejects.toMatchObject({ code: 'host_repository_missing' });
    await expect(host.find('topic')).rejects.toMatchObject({ code: 'host_repository_missing' });
  });

  test('refuses a branch that it does not have, and says why', async () => {
    const request = { head: 'nothing', base: 'main', title: 't', body: '', draft: false };
    await expect(control.host.open(request)).rejects.toMatchObject({
      code: expect.stringMatching(/^host_(?:refused|repository_missing)$/),
    });
  });
});

test('a pull request that may not be merged is refused, and one in conflict is for want of an answer', {
  timeout: 60_000,
}, async () => {
  const { host, head } = await repository('five');
  const { externalId } = await host.open({ head, base: 'main', title: 'T', body: '', draft: false });
  const merge = () => host.merge(externalId, { squash: false });
  const rule = {
    rule_name: 'main',
    enable_status_check: true,
    status_check_contexts: ['ci'],
    enable_push: true,
  };
  await gitea.api(bot, 'POST', '/repos/bot/five/branch_protections', rule);
  const isRefused = () => expect(merge()).rejects.toMatchObject({ code: 'host_refused' });
  await vi.waitFor(isRefused, { timeout: 20_000, interval: 200 });
  await gitea.api(bot, 'DELETE', '/repos/bot/five/branch_protections/main');
  const content = Buffer.from('of the base\n').toString('base64');
  await gitea.api(bot, 'POST', '/repos/bot/five/contents/file', {
    content,
    message: 'third',
    branch: 'main',
  });
  await expect(merge()).rejects.toMatchObject({
    code: expect.stringMatching(/^host_(?:not_ready|refused)$/),
  });
  expect(await host.read(externalId)).toMatchObject({ state: 'open' });
});

test('what others do with a pull request on Gitea is known by its webhook at once, up to the merge', {
  timeout: 60_000,
}, async () => {
  const { host, head, headCommit, check, merge } = await repository('two');
  const config = { url: `${instance.url}/hooks/two`, content_type: 'json', secret: webhookSecret };
  const hook = {
    type: 'gitea',
    active: true,
    events: ['push', 'pull_request', 'pull_request_review', 'status'],
    config,
  };
  await gitea.api(bot, 'POST', '/repos/bot/two/hooks', hook);
  const { externalId } = await host.open({ head, base: 'main', title: 'T', body: '', draft: false });
  await addOpenChangeset(instance.db, 'two', { head, headCommit, externalId });
  const untilKnown = async (expected: object) =>
    await vi.waitFor(
      async () => {
        const rows = await readHostFacts(instance.db, 'two');
        expect(rows).toEqual([expect.objectContaining(expected)]);
      },
      { timeout: 15_000, interval: 100 },
    );
  await check('pending');
  await untilKnown({ state: 'open', checks: 'pending' });
  await check('passed');
  await untilKnown({ checks: 'passed' });
  const change = (state: string) =>
    gitea.api(reviewer, 'PATCH', `/repos/bot/two/pulls/${externalId}`, { state });
  await change('closed');
  await untilKnown({ state: 'closed' });
  await change('open');
  await untilKnown({ state: 'open' });
  await merge(externalId);
  await untilKnown({ state: 'merged', checks: 'passed' });
});

test('a batch change becomes a pull request on Gitea, which follows it, and is merged by somebody', {
  timeout: 120_000,
}, async () => {
  const { merge } = await repository('three');
  const config = { url: `${instance.url}/hooks/three`, content_type: 'json', secret: webhookSecret };
  const hook = { type: 'gitea', active: true, events: ['push', 'pull_request'], config };
  await gitea.api(bot, 'POST', '/repos/bot/three/hooks', hook);
  const baseRev = await firstCommit('three');
  const untilPublished = async (expected: object) =>
    await vi.waitFor(
      async () => {
        const rows = await readHostFacts(instance.db, 'three');
        expect(rows).toEqual([
          expect.objectContaining({ failure: null, publication: 'published', ...expected }),
        ]);
        return rows[0]?.externalId ?? '';
      },
      { timeout: 40_000, interval: 200 },
    );

  await applyTo('three', { baseRev, title: 'One', line: 'one' });
  const id = await untilPublished({ state: 'open', reconciler: 'completed' });
  const pull = () =>
    gitea.api(bot, 'GET', `/repos/bot/three/pulls/${id}`) as Promise<{ head: { sha: string } }>;
  const opened = await pull();
  expect(opened).toMatchObject({
    title: 'One',
    body: expect.stringMatching(/^Why\n/),
    state: 'open',
    changed_files: 1,
    head: { ref: 'fix' },
  });

  await applyTo('three', { baseRev, title: 'Two', line: 'two' });
  await vi.waitFor(async () => expect(await pull()).toMatchObject({ title: 'Two' }), {
    timeout: 40_000,
    interval: 200,
  });
  await untilPublished({ state: 'open', reconciler: 'completed' });
  expect((await pull()).head.sha).not.toBe(opened.head.sha);

  await merge(id);
  await untilPublished({ state: 'merged' });
  expect(await gitea.api(bot, 'GET', '/repos/bot/three/pulls?state=all')).toHaveLength(1);
  const { content } = (await gitea.api(bot, 'GET', '/repos/bot/three/contents/a')) as { content: string };
  expect(Buffer.from(content, 'base64').toString()).toBe('two\n');
});

test('a batch change opens a pull request from a fork, which it makes, and users comment on it and merge it', {
  timeout: 180_000,
}, async () => {
  await repository('four', reviewer);
  const baseRev = await firstCommit('four');
  const until = async (expected: object) =>
    await vi.waitFor(
      async () => {
        const rows = await readHostFacts(instance.db, 'four');
        expect(rows).toEqual([expect.objectContaining(expected)]);
        return rows[0]?.externalId ?? '';
      },
      { timeout: 90_000, interval: 200 },
    );
  const change = { baseRev, title: 'One', line: 'one', fork: true };
  const batchChange = await applyTo('four', change);
  const id = await until({ state: 'open', reconciler: 'completed', failure: null });
  const at = `/repos/reviewer/four`;
  expect(await gitea.api(bot, 'GET', `${at}/pulls/${id}`)).toMatchObject({
    head: { ref: 'fix', repo: { full_name: 'bot/reviewer-four' } },
  });
  await applyTo('four', { ...change, line: 'two' });
  await until({ state: 'open', reconciler: 'completed', failure: null });
  expect(await gitea.api(bot, 'GET', `${at}/pulls?state=all`)).toHaveLength(1);
  const person = personNamed('ann');
  const ids = (await listChangesets(instance.db, person, batchChange)).map((one) => one.id);
  await commentChangesets(instance.db, person, batchChange, ids, { body: 'Please look' });
  await mergeChangesets(instance.db, person, batchChange, ids, { squash: true });
  await until({ state: 'merged', reconciler: 'completed', failure: null });
  const comments = (await gitea.api(bot, 'GET', `${at}/issues/${id}/comments`)) as { body: string }[];
  expect(comments).toMatchObject([{ body: expect.stringMatching(/^Please look\n/) }]);
  const { content } = (await gitea.api(bot, 'GET', `${at}/contents/a`)) as { content: string };
  expect(Buffer.from(content, 'base64').toString()).toBe('two\n');
});

/** Returns the newest commit of a repository once the instance mirrors it. */
async function firstCommit(name: string): Promise<string | null> {
  return await vi.waitFor(
    async () => {
      const answer = await instance.api('GET', `/api/repositories/${name}`);
      const { commit } = repositoryRecordSchema.parse(await answer.json());
      expect(commit).not.toBeNull();
      return commit;
    },
    { timeout: 30_000, interval: 200 },
  );
}

/** Applies a batch spec of a client that has one changeset: it adds a file with a line to a repository. Returns the batch change. */
async function applyTo(
  name: string,
  {
    baseRev,
    title,
    line,
    fork = false,
  }: {
    baseRev: string | null;
    title: string;
    line: string;
    fork?: boolean;
  },
): Promise<string> {
  const person = personNamed('ann');
  const staging = await openStaging(join(instance.directory, 'staging-of-test'));
  const blobs = await openBlobStore(join(instance.directory, 'blobs'), staging);
  const spec = clientSpec(name, { diff: diffAdding('a', line) }, { baseRev, title, published: true, fork });
  const { db } = instance;
  const deps = { db, blobs, repositoryOf: (id: string) => id };
  const ids = await createChangesetSpecs(deps, person, [JSON.stringify(spec)]);
  const batchSpec = await transaction(db, async (tx) => {
    const made = await createBatchSpec({ db: tx }, person, {
      ...{ text: JSON.stringify({ name, description: 'd' }), namespace: 'ann', origin: 'client' },
      ...{ allowIgnored: false, allowUnsupported: false, noCache: false, options: {}, batchChangeId: null },
    });
    await addChangesetSpecs(tx, person, made.id, ids);
    return made.publicId;
  });
  return (await applyBatchSpec({ db }, person, batchSpec, {})).publicId;
}
