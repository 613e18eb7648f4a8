import { localSpawn, openFetch, systemClock } from '@fumehood/base';
import { fetchHistory } from '@fumehood/git';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { type GitServer, startGitServer } from '../../packages/git/src/testing/git-server.ts';
import {
  closeBatchChange,
  closeChangesets,
  commentChangesets,
  detachChangesets,
  mergeChangesets,
  publishChangesets,
  reenqueueChangesets,
} from '../../packages/instance/src/changesets/actions.ts';
import { applyBatchSpec } from '../../packages/instance/src/changesets/apply.ts';
import { listChangesets } from '../../packages/instance/src/changesets/batch-changes.ts';
import { claimChangeset } from '../../packages/instance/src/changesets/reconcile/claims.ts';
import {
  type ReconcileDeps,
  reconcileChangeset,
} from '../../packages/instance/src/changesets/reconcile/reconcile.ts';
import {
  type ChangesetBench,
  clientSpec,
  diffAdding,
  startChangesetBench,
} from '../../packages/instance/src/changesets/testing.ts';
import type {
  CodeHost,
  HostComment,
  RemoteChangeset,
} from '../../packages/instance/src/code-hosts/code-host.ts';
import { hostNotReady, hostRefused, hostUnavailable } from '../../packages/instance/src/code-hosts/errors.ts';
import { type Mirrors, openMirrors } from '../../packages/instance/src/repos/mirrors.ts';

const isRoot = process.getuid?.() === 0;
const spawn = localSpawn(isRoot ? { uid: 1_900_000_005, gid: process.getgid?.() ?? 0 } : null);
const repository = 'acme/api';

let bench: ChangesetBench;
let mirrors: Mirrors;
let remote: GitServer;
let base: string;
let place: string;
let deps: ReconcileDeps;
let forge: Forge;
beforeAll(async () => {
  bench = await startChangesetBench();
  mirrors = await openMirrors(bench.root, spawn);
  remote = await startGitServer('secret');
  base = remote.commit({ x: 'x\n' });
  place = await mirrorRemote();
});
afterAll(async () => {
  await bench[Symbol.asyncDispose]();
  remote.stop();
});
beforeEach(async () => {
  await bench.clear();
  for (const ref of remote
    .git('for-each-ref', '--format=%(refname)')
    .split('\n')
    .filter((name) => name !== '' && name !== 'refs/heads/main'))
    remote.git('update-ref', '-d', ref);
  remote.onPush(async () => {});
  await bench.mirror(repository, remote.url, { username: 'u', password: 'secret' });
  await bench.run(`update repositories set place = '${place}' where name = '${repository}'`);
  forge = new Forge();
  deps = {
    ...{ ...bench, mirrors, spawn, clock: systemClock },
    hostOf: () => Promise.resolve(forge),
  };
});

/** Mirrors the remote, as a sync does. Returns the place of the mirror. */
async function mirrorRemote(): Promise<string> {
  const fetchFrom = openFetch(remote.url);
  const authorization = `Basic ${Buffer.from('u:secret').toString('base64')}`;
  const pack = await fetchHistory(
    (request) => fetchFrom({ ...request, headers: { ...request.headers, authorization } }),
    [base],
    [],
  );
  const made = await mirrors.make();
  await made.mirror.update({ head: 'refs/heads/main', refs: new Map([['refs/heads/main', base]]) }, pack);
  return made.place;
}

/** A code host in memory. It does what is asked, and then `after`. */
class Forge implements CodeHost {
  readonly kind = 'gitea';
  readonly drafts = true;
  readonly changesets: RemoteChangeset[] = [];
  readonly calls: string[] = [];
  readonly comments: string[] = [];
  /** May refuse, and then nothing is done. */
  before: (call: string) => Promise<never> | undefined = () => undefined;
  after: (call: string) => Promise<void> = async () => {};
  async open({
    head,
    base: onto,
    title,
    body,
    draft,
  }: Parameters<CodeHost['open']>[0]): Promise<RemoteChangeset> {
    const found = await this.find(head);
    const externalId = found?.externalId ?? String(this.changesets.length + 1);
    const made = {
      externalId,
      url: `https://forge/${externalId}`,
      state: draft ? 'draft' : 'open',
      title,
      body,
      base: onto,
      head,
    } as const;
    return await this.#set('open', { ...made, headCommit: '', review: null, checks: null });
  }
  find = (head: string) =>
    Promise.resolve(this.changesets.find((one) => one.head === head && /open|draft/.test(one.state)) ?? null);
  read = (externalId: string) => this.#set('read', { externalId });
  update = (externalId: string, change: Parameters<CodeHost['update']>[1]) =>
    this.#set('update', { externalId, ...change });
  undraft = (externalId: string) => this.#set('undraft', { externalId, state: 'open' });
  close = (externalId: string) => this.#set('close', { externalId, state: 'closed' });
  reopen = (externalId: string) => this.#set('reopen', { externalId, state: 'open' });
  merge = (externalId: string, { squash }: { readonly squash: boolean }) =>
    this.#set(squash ? 'squash' : 'merge', { externalId, state: 'merged' });
  comment = (externalId: string, { id, body }: HostComment) => {
    const text = `${body} ${id}`;
    if (!this.comments.includes(text)) this.comments.push(text);
    return this.#set('comment', { externalId });
  };
  async #set(
    call: string,
    change: Partial<RemoteChangeset> & { readonly externalId: string },
  ): Promise<RemoteChangeset> {
    await this.before(call);
    const at = Number(change.externalId) - 1;
    const changed = { ...this.changesets[at], ...change } as RemoteChangeset;
    this.changesets[at] = changed;
    this.calls.push(call);
    await this.after(call);
    return changed;
  }
}

const onForge = () =>
  bench.run(
    `insert into code_hosts (name, kind, url, token, set_by) values ('forge', 'gitea', '${remote.url}', '\\x00', 'a')`,
  );
const spec = (change: Parameters<typeof clientSpec>[1] = {}, more: object = {}) =>
  clientSpec(repository, change, { baseRev: base, published: true, ...more });
async function apply(...changesets: object[]): Promise<string> {
  const { id } = await bench.spec('tidy', changesets);
  const { publicId } = await applyBatchSpec(bench, bench.person, id, {});
  return publicId;
}
const isWhole = async (claimed: Awaited<ReturnType<typeof claimChangeset>>) => {
  if (claimed === null) return true;
  if (claimed !== 'not its turn') await reconcileChangeset(deps, claimed, new AbortController().signal);
  return false;
};
/** Reconciles until nothing is due. */
async function reconcile(): Promise<void> {
  while (!(await isWhole(await claimChangeset(bench.db, Date.now()))));
}
const shown = async (batchChange: string) => (await listChangesets(bench.db, bench.person, batchChange))[0];
const branch = (name = 'fix') => remote.git('for-each-ref', '--format=%(objectname)', `refs/heads/${name}`);
/** The replica that has the claim dies: its claim runs out. */
const expireClaims = () =>
  bench.run(`update changesets set claimed_until = clock_timestamp() where claim is not null`);
/** Returns a promise that resolves when `release` is called, and one that resolves when somebody waits for it. */
function gate() {
  let release = () => {};
  const open = new Promise<void>((resolve) => (release = resolve));
  let reached = () => {};
  const waiting = new Promise<void>((resolve) => (reached = resolve));
  return { waiting, release, wait: () => (reached(), open) };
}

test('a plain git remote gets a branch, and a changed diff moves it', async () => {
  const id = await apply(spec());
  await reconcile();
  expect(await shown(id)).toMatchObject({
    state: 'pushed',
    commit: branch(),
    failure: null,
    publishedAt: expect.any(String),
  });
  expect(remote.git('show', 'fix:a')).toBe('a');
  expect(remote.git('rev-parse', 'fix^')).toBe(base);
  const before = branch();
  await apply(spec({ diff: diffAdding('a', 'b') }));
  await reconcile();
  expect(remote.git('show', 'fix:a')).toBe('b');
  expect(branch()).not.toBe(before);
  await apply();
  await reconcile();
  expect(await shown(id)).toMatchObject({ state: 'pushed', archivedAt: expect.any(String) });
  expect(branch()).not.toBe('');
});

test('a code host gets a draft, which is published, changed, closed and reopened', async () => {
  await onForge();
  const id = await apply(spec({}, { published: 'draft', body: 'See ${{ batch_change_link }}' }));
  await reconcile();
  expect(await shown(id)).toMatchObject({ state: 'draft', externalId: '1', externalUrl: 'https://forge/1' });
  expect(forge.changesets).toMatchObject([{ head: 'fix', base: 'main', title: 'Fix', body: 'See ann/tidy' }]);
  await apply(spec({}, { title: 'Fix well' }));
  await reconcile();
  expect(await shown(id)).toMatchObject({ state: 'open', externalId: '1' });
  expect(forge.calls).toEqual(['open', 'undraft', 'update']);
  expect(forge.changesets).toMatchObject([
    { state: 'open', title: 'Fix well', body: 'Why\n\nThe batch change ann/tidy has made this.' },
  ]);
  await closeBatchChange(bench.db, bench.person, id, { closeChangesets: true });
  await reconcile();
  expect(await shown(id)).toMatchObject({ state: 'closed', archivedAt: null });
  await apply(spec({ diff: diffAdding('a', 'b') }, { title: 'Fix well' }));
  await reconcile();
  expect(await shown(id)).toMatchObject({ state: 'open' });
  expect(remote.git('show', 'fix:a')).toBe('b');
  await apply();
  await reconcile();
  expect(await shown(id)).toMatchObject({ state: 'closed', archivedAt: expect.any(String) });
  expect(forge.calls).toEqual(['open', 'undraft', 'update', 'close', 'reopen', 'close']);
});

test('a changeset that was made elsewhere is followed, and let go', async () => {
  await onForge();
  forge.changesets.push({
    ...{
      externalId: '1',
      url: 'https://forge/1',
      state: 'open',
      title: 't',
      body: '',
      base: 'main',
      head: 'x',
    },
    ...{ headCommit: base, review: 'approved', checks: 'passed' },
  });
  const id = await apply({ baseRepository: repository, externalID: 1 });
  await reconcile();
  expect(await shown(id)).toMatchObject({
    state: 'open',
    externalId: '1',
    review: 'approved',
    checks: 'passed',
  });
  await apply();
  await reconcile();
  expect(await shown(id)).toMatchObject({ detachedAt: expect.any(String) });
  expect(forge.calls).toEqual(['read']);
});

test('a replica that dies after its push is followed by another one, which finds the branch', async () => {
  const id = await apply(spec());
  const { waiting, release, wait } = gate();
  remote.onPush(wait);
  const dead = reconcile();
  await waiting;
  expect(await shown(id)).toMatchObject({ state: 'processing', commit: null });
  const pushed = branch();
  expect(pushed).not.toBe('');
  await expireClaims();
  remote.onPush(() => Promise.reject(new Error('a second push')));
  await reconcile();
  expect(await shown(id)).toMatchObject({ state: 'pushed', commit: pushed });
  const before = await bench.run(`select * from changesets`);
  release();
  await dead;
  expect(await bench.run(`select * from changesets`)).toEqual(before);
});

test('a push of a replica that has died does not stand in the way of the next batch spec', async () => {
  await apply(spec());
  const { waiting, release, wait } = gate();
  remote.onPush(wait);
  const dead = reconcile();
  await waiting;
  const id = await apply(spec({ diff: diffAdding('a', 'b') }));
  await expireClaims();
  remote.onPush(async () => {});
  await reconcile();
  expect(await shown(id)).toMatchObject({ state: 'pushed', commit: branch() });
  expect(remote.git('show', 'fix:a')).toBe('b');
  release();
  await dead;
});

test('a replica that dies after it has opened a changeset leaves one, not two', async () => {
  await onForge();
  const id = await apply(spec());
  const { waiting, release, wait } = gate();
  forge.after = wait;
  const dead = reconcile();
  await waiting;
  await expireClaims();
  forge.after = async () => {};
  await reconcile();
  release();
  await dead;
  expect(forge.changesets).toHaveLength(1);
  expect(await shown(id)).toMatchObject({ state: 'open', externalId: '1' });
});

test('what is asked for while a changeset is reconciled is done after that', async () => {
  const id = await apply(spec());
  const { waiting, release, wait } = gate();
  remote.onPush(wait);
  const first = reconcile();
  await waiting;
  const changeset = (await shown(id))?.id ?? '';
  await detachChangesets(bench.db, bench.person, id, [changeset]);
  expect(await claimChangeset(bench.db, Date.now())).toBeNull();
  release();
  await first;
  expect(await shown(id)).toMatchObject({ commit: branch(), detachedAt: expect.any(String) });
});

test('a branch of somebody else is left alone', async () => {
  remote.git('update-ref', 'refs/heads/fix', base);
  const id = await apply(spec());
  await reconcile();
  expect(await shown(id)).toMatchObject({
    state: 'failed',
    failure: expect.stringContaining('has not pushed'),
  });
  expect(branch()).toBe(base);
  remote.git('update-ref', '-d', 'refs/heads/fix');
  await reenqueueChangesets(bench.db, bench.person, id, [(await shown(id))?.id ?? '']);
  await reconcile();
  expect(await shown(id)).toMatchObject({ state: 'pushed', failure: null });
});

test('a host that is away is asked again later, and one that refuses is not', async () => {
  await onForge();
  const id = await apply(spec());
  forge.after = () => Promise.reject(hostUnavailable('forge', 'it answered 503'));
  await reconcile();
  expect(await shown(id)).toMatchObject({ state: 'retrying', failure: expect.stringContaining('503') });
  const rows = await bench.run(
    `select failures, process_after > clock_timestamp() + interval '5 s' as later from changesets`,
  );
  expect(rows).toEqual([{ failures: 1, later: true }]);
  forge.after = () => Promise.reject(hostRefused('forge', 'no'));
  await bench.run(`update changesets set process_after = clock_timestamp()`);
  await reconcile();
  expect(await shown(id)).toMatchObject({ state: 'failed' });
  expect(forge.changesets).toHaveLength(1);
});

test('a diff that does not apply, and a wrong password, fail', async () => {
  const modified =
    'diff --git none none\nindex 1111111..2222222 100644\n--- none\n+++ none\n@@ -1 +1 @@\n-a\n+b\n';
  const id = await apply(spec({ diff: modified }));
  await reconcile();
  expect(await shown(id)).toMatchObject({
    state: 'failed',
    failure: expect.stringContaining('does not apply'),
  });
  await bench.mirror(repository, remote.url, { username: 'u', password: 'wrong' });
  await apply(spec());
  await reconcile();
  expect(await shown(id)).toMatchObject({ state: 'failed', failure: expect.stringContaining('401') });
  expect(branch()).toBe('');
});

test('people comment on a changeset, close it and merge it, and nothing else is done with it', async () => {
  await onForge();
  const { db, person } = bench;
  const id = await apply(spec());
  await reconcile();
  const one = [(await shown(id))?.id ?? ''];
  await commentChangesets(db, person, id, one, { body: 'first' });
  await commentChangesets(db, person, id, one, { body: 'second' });
  await reconcile();
  expect(forge.comments).toEqual([expect.stringMatching(/^first /), expect.stringMatching(/^second /)]);
  await closeChangesets(db, person, id, one);
  await reconcile();
  await commentChangesets(db, person, id, one, { body: 'third' });
  await reconcile();
  expect(await shown(id)).toMatchObject({ state: 'closed', failure: null });
  expect(forge.calls).toEqual(['open', 'comment', 'comment', 'close', 'comment']);
  await expect(mergeChangesets(db, person, id, one, { squash: true })).rejects.toMatchObject({
    code: 'changeset_not_open',
  });
  await apply(spec());
  await reconcile();
  await mergeChangesets(db, person, id, one, { squash: true });
  await reconcile();
  expect(await shown(id)).toMatchObject({ state: 'merged', failure: null });
  await mergeChangesets(db, person, id, one, { squash: false });
  await reconcile();
  expect(forge.calls.slice(5)).toEqual(['reopen', 'squash']);
});

test('a merge that the host refuses is a failure of the changeset, and is not tried again by itself', async () => {
  await onForge();
  const { db, person } = bench;
  const id = await apply(spec());
  await reconcile();
  const one = [(await shown(id))?.id ?? ''];
  forge.before = (call) =>
    call === 'merge' ? Promise.reject(hostRefused('forge', '405, a check is missing')) : undefined;
  await mergeChangesets(db, person, id, one, { squash: false });
  await reconcile();
  expect(await shown(id)).toMatchObject({
    state: 'failed',
    failure: expect.stringContaining('a check is missing'),
  });
  await commentChangesets(db, person, id, one, { body: 'Why?' });
  await reconcile();
  expect(await shown(id)).toMatchObject({
    state: 'failed',
    failure: expect.stringContaining('a check is missing'),
  });
  await reenqueueChangesets(db, person, id, one);
  await reconcile();
  expect(await shown(id)).toMatchObject({ state: 'open', failure: null });
  forge.before = () => undefined;
  await mergeChangesets(db, person, id, one, { squash: false });
  await reconcile();
  expect(await shown(id)).toMatchObject({ state: 'merged', failure: null });
});

test('a host that does not know yet whether it can merge is asked again', async () => {
  await onForge();
  const { db, person } = bench;
  const id = await apply(spec());
  await reconcile();
  forge.before = () => Promise.reject(hostNotReady('forge', 'later'));
  await mergeChangesets(db, person, id, [(await shown(id))?.id ?? ''], { squash: false });
  await reconcile();
  expect(await shown(id)).toMatchObject({ state: 'retrying' });
  forge.before = () => undefined;
  await bench.run(`update changesets set process_after = clock_timestamp()`);
  await reconcile();
  expect(await shown(id)).toMatchObject({ state: 'merged' });
});

test('a replica that dies after it has commented leaves one comment, and what is asked meanwhile is done', async () => {
  await onForge();
  const { db, person } = bench;
  const id = await apply(spec());
  await reconcile();
  const one = [(await shown(id))?.id ?? ''];
  await commentChangesets(db, person, id, one, { body: 'first' });
  const { waiting, release, wait } = gate();
  forge.after = wait;
  const dead = reconcile();
  await waiting;
  await expireClaims();
  await commentChangesets(db, person, id, one, { body: 'second' });
  forge.after = async () => {};
  await reconcile();
  release();
  await dead;
  expect(forge.comments).toEqual([expect.stringMatching(/^first /), expect.stringMatching(/^second /)]);
  expect(await bench.run(`select comments, reconciler from changesets`)).toEqual([
    { comments: [], reconciler: 'completed' },
  ]);
});

test('what was to be pushed when a changeset was closed is pushed when it is opened again', async () => {
  await onForge();
  const id = await apply(spec());
  await reconcile();
  await apply(spec({ diff: diffAdding('a', 'b') }));
  await closeBatchChange(bench.db, bench.person, id, { closeChangesets: true });
  await reconcile();
  expect(remote.git('show', 'fix:a')).toBe('a');
  await apply(spec({ diff: diffAdding('a', 'b') }));
  await reconcile();
  expect(await shown(id)).toMatchObject({ state: 'open' });
  expect(remote.git('show', 'fix:a')).toBe('b');
});

test('nothing can be asked for on a host that there is none of, or of what is not there yet', async () => {
  const { db, person } = bench;
  const id = await apply(spec({}, { published: null }));
  const one = [(await shown(id))?.id ?? ''];
  const asking = [
    () => mergeChangesets(db, person, id, one, { squash: false }),
    () => commentChangesets(db, person, id, one, { body: 'b' }),
    () => closeChangesets(db, person, id, one),
  ];
  for (const ask of asking) await expect(ask()).rejects.toMatchObject({ code: 'changeset_host_missing' });
  await onForge();
  for (const ask of asking) await expect(ask()).rejects.toMatchObject({ code: 'changeset_not_open' });
});

test('changesets wait for the times at which they may be changed', async () => {
  await bench.run(`insert into batch_rollout (windows, set_by) values ('[]', 'a')`);
  const id = await apply(spec({}, { published: null }));
  await reconcile();
  expect(await shown(id)).toMatchObject({ state: 'unpublished' });
  await publishChangesets(bench.db, bench.person, id, {
    changesets: [(await shown(id))?.id ?? ''],
    publication: true,
  });
  await reconcile();
  expect(await shown(id)).toMatchObject({ state: 'scheduled' });
  expect(branch()).toBe('');
  await bench.run(`delete from batch_rollout`);
  await bench.run(`update changesets set process_after = clock_timestamp()`);
  await reconcile();
  expect(await shown(id)).toMatchObject({ state: 'pushed' });
});
