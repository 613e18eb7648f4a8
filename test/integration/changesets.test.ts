import { expect, test } from 'vitest';
import { startGitServer } from '../../packages/git/src/testing/git-server.ts';
import {
  closeBatchChange,
  detachChangesets,
  publishChangesets,
  reenqueueChangesets,
} from '../../packages/instance/src/changesets/actions.ts';
import { applyBatchSpec } from '../../packages/instance/src/changesets/apply.ts';
import { claimChangeset } from '../../packages/instance/src/changesets/reconcile/claims.ts';
import { diffAdding } from '../../packages/instance/src/changesets/testing.ts';
import { hostRefused, hostUnavailable } from '../../packages/instance/src/code-hosts/errors.ts';
import { gate, stageReconciler } from './reconciler.ts';

const repository = 'acme/api';
const stage = stageReconciler(repository);
const { apply, branch, expireClaims, onForge, reconcile, shown, spec } = stage;

test('a plain git remote gets a branch, and a changed diff moves it', async () => {
  const id = await apply(spec());
  await reconcile();
  expect(await shown(id)).toMatchObject({
    state: 'pushed',
    commit: branch(),
    failure: null,
    publishedAt: expect.any(String),
  });
  expect(stage.remote.git('show', 'fix:a')).toBe('a');
  expect(stage.remote.git('rev-parse', 'fix^')).toBe(stage.base);
  const before = branch();
  await apply(spec({ diff: diffAdding('a', 'b') }));
  await reconcile();
  expect(stage.remote.git('show', 'fix:a')).toBe('b');
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
  expect(stage.forge.changesets).toMatchObject([
    { head: 'fix', base: 'main', title: 'Fix', body: 'See ann/tidy' },
  ]);
  await apply(spec({}, { title: 'Fix well' }));
  await reconcile();
  expect(await shown(id)).toMatchObject({ state: 'open', externalId: '1' });
  expect(stage.forge.calls).toEqual(['open', 'undraft', 'update']);
  expect(stage.forge.changesets).toMatchObject([
    { state: 'open', title: 'Fix well', body: 'Why\n\nThe batch change ann/tidy has made this.' },
  ]);
  await closeBatchChange(stage.bench.db, stage.bench.person, id, { closeChangesets: true });
  await reconcile();
  expect(await shown(id)).toMatchObject({ state: 'closed', archivedAt: null });
  await apply(spec({ diff: diffAdding('a', 'b') }, { title: 'Fix well' }));
  await reconcile();
  expect(await shown(id)).toMatchObject({ state: 'open' });
  expect(stage.remote.git('show', 'fix:a')).toBe('b');
  await apply();
  await reconcile();
  expect(await shown(id)).toMatchObject({ state: 'closed', archivedAt: expect.any(String) });
  expect(stage.forge.calls).toEqual(['open', 'undraft', 'update', 'close', 'reopen', 'close']);
});

test('a changeset that was made elsewhere is followed, and let go', async () => {
  await onForge();
  stage.forge.changesets.push({
    ...{
      externalId: '1',
      url: 'https://forge/1',
      state: 'open',
      title: 't',
      body: '',
      base: 'main',
      head: 'x',
    },
    ...{ headCommit: stage.base, review: 'approved', checks: 'passed' },
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
  expect(stage.forge.calls).toEqual(['read']);
});

test('a replica that dies after its push is followed by another one, which finds the branch', async () => {
  const id = await apply(spec());
  const { waiting, release, wait } = gate();
  stage.remote.onPush(wait);
  const dead = reconcile();
  await waiting;
  expect(await shown(id)).toMatchObject({ state: 'processing', commit: null });
  const pushed = branch();
  expect(pushed).not.toBe('');
  await expireClaims();
  stage.remote.onPush(() => Promise.reject(new Error('a second push')));
  await reconcile();
  expect(await shown(id)).toMatchObject({ state: 'pushed', commit: pushed });
  const before = await stage.bench.run(`select * from changesets`);
  release();
  await dead;
  expect(await stage.bench.run(`select * from changesets`)).toEqual(before);
});

test('a push of a replica that has died does not stand in the way of the next batch spec', async () => {
  await apply(spec());
  const { waiting, release, wait } = gate();
  stage.remote.onPush(wait);
  const dead = reconcile();
  await waiting;
  const id = await apply(spec({ diff: diffAdding('a', 'b') }));
  await expireClaims();
  stage.remote.onPush(async () => {});
  await reconcile();
  expect(await shown(id)).toMatchObject({ state: 'pushed', commit: branch() });
  expect(stage.remote.git('show', 'fix:a')).toBe('b');
  release();
  await dead;
});

test('a replica that dies after it has opened a changeset leaves one, not two', async () => {
  await onForge();
  const id = await apply(spec());
  const { waiting, release, wait } = gate();
  stage.forge.after = wait;
  const dead = reconcile();
  await waiting;
  await expireClaims();
  stage.forge.after = async () => {};
  await reconcile();
  release();
  await dead;
  expect(stage.forge.changesets).toHaveLength(1);
  expect(await shown(id)).toMatchObject({ state: 'open', externalId: '1' });
});

test('what is asked for while a changeset is reconciled is done after that', async () => {
  const id = await apply(spec());
  const { waiting, release, wait } = gate();
  stage.remote.onPush(wait);
  const first = reconcile();
  await waiting;
  const changeset = (await shown(id))?.id ?? '';
  await detachChangesets(stage.bench.db, stage.bench.person, id, [changeset]);
  expect(await claimChangeset(stage.bench.db, Date.now())).toBeNull();
  release();
  await first;
  expect(await shown(id)).toMatchObject({ commit: branch(), detachedAt: expect.any(String) });
});

test('a branch of somebody else is left alone', async () => {
  stage.remote.git('update-ref', 'refs/heads/fix', stage.base);
  const id = await apply(spec());
  await reconcile();
  expect(await shown(id)).toMatchObject({
    state: 'failed',
    failure: expect.stringMatching(/has not pushed\. .* retry the changeset\.$/),
  });
  expect(branch()).toBe(stage.base);
  stage.remote.git('update-ref', '-d', 'refs/heads/fix');
  await reenqueueChangesets(stage.bench.db, stage.bench.person, id, [(await shown(id))?.id ?? '']);
  await reconcile();
  expect(await shown(id)).toMatchObject({ state: 'pushed', failure: null });
});

test('a host that is away is asked again later, and one that refuses is not', async () => {
  await onForge();
  const id = await apply(spec());
  stage.forge.after = () => Promise.reject(hostUnavailable('forge', 'it answered 503'));
  await reconcile();
  expect(await shown(id)).toMatchObject({ state: 'retrying', failure: expect.stringContaining('503') });
  const rows = await stage.bench.run(
    `select failures, process_after > clock_timestamp() + interval '5 s' as later from changesets`,
  );
  expect(rows).toEqual([{ failures: 1, later: true }]);
  stage.forge.after = () => Promise.reject(hostRefused('forge', 'no'));
  await stage.bench.run(`update changesets set process_after = clock_timestamp()`);
  await reconcile();
  expect(await shown(id)).toMatchObject({ state: 'failed' });
  expect(stage.forge.changesets).toHaveLength(1);
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
  await stage.bench.mirror(repository, stage.remote.url, { username: 'u', password: 'wrong' });
  await apply(spec());
  await reconcile();
  expect(await shown(id)).toMatchObject({ state: 'failed', failure: expect.stringContaining('401') });
  expect(branch()).toBe('');
});

test('a changeset in a fork is pushed to it when it is there, with the history that it lacks', async () => {
  await onForge();
  const fork = await startGitServer('of the token');
  try {
    const { hostname, port } = new URL(fork.url);
    const url = `http://${hostname}:${port}`;
    stage.forge.fork = () =>
      Promise.resolve({ name: 'bot/acme-api', url, username: 'u', password: 'of the token' });
    const id = await apply(spec({}, { fork: true }));
    await reconcile();
    expect(await shown(id)).toMatchObject({
      state: 'retrying',
      failure: expect.stringContaining('no branches'),
    });
    fork.commit({ other: 'in the fork\n' });
    await stage.bench.run(`update changesets set process_after = clock_timestamp()`);
    await reconcile();
    expect(await shown(id)).toMatchObject({ state: 'open', failure: null });
    expect([fork.git('show', 'fix:a'), fork.git('rev-parse', 'fix^')]).toEqual(['a', stage.base]);
    expect(branch()).toBe('');
    expect(stage.forge.opened).toMatchObject([{ head: 'fix', fork: 'bot/acme-api' }]);
    await apply(spec({ diff: diffAdding('a', 'b') }));
    await reconcile();
    expect(fork.git('show', 'fix:a')).toBe('b');
    expect(branch()).toBe('');
  } finally {
    fork.stop();
  }
});

test('an admin has all changesets of a host made in forks, but those that are there already', async () => {
  await onForge();
  const id = await apply(spec());
  await reconcile();
  stage.forge.forks = true;
  await apply(spec({ diff: diffAdding('a', 'b') }));
  await reconcile();
  expect(await shown(id)).toMatchObject({ state: 'open', commit: branch() });
  await apply(spec({}, { headRef: 'refs/heads/other' }));
  await reconcile();
  expect(await stage.bench.run(`select failure from changesets where head_ref = 'refs/heads/other'`)).toEqual(
    [{ failure: expect.stringContaining('there is no fork') }],
  );
});

test('a repository without a code host has no forks', async () => {
  await expect(apply(spec({}, { fork: true }))).rejects.toMatchObject({ code: 'changeset_fork_unsupported' });
});

test('a wave of branches alone begins when the last one is pushed, and one that fails leaves its place', async () => {
  const specs = ['one', 'two', 'three'].map((name) => spec({}, { headRef: `refs/heads/${name}` }));
  stage.remote.git('update-ref', 'refs/heads/three', stage.base);
  const { id } = await stage.bench.spec('tidy', specs);
  await applyBatchSpec(stage.bench, stage.bench.person, id, { waves: { size: 1, failedShareMax: 0 } });
  await reconcile();
  expect(
    await stage.bench.run(`select head_ref as ref, reconciler from changesets order by head_ref`),
  ).toEqual([
    { ref: 'refs/heads/one', reconciler: 'completed' },
    { ref: 'refs/heads/three', reconciler: 'failed' },
    { ref: 'refs/heads/two', reconciler: 'completed' },
  ]);
});

test('changesets wait for the times at which they may be changed', async () => {
  await stage.bench.run(`insert into batch_rollout (windows, set_by) values ('[]', 'a')`);
  const id = await apply(spec({}, { published: null }));
  await reconcile();
  expect(await shown(id)).toMatchObject({ state: 'unpublished' });
  await publishChangesets(stage.bench.db, stage.bench.person, id, {
    changesets: [(await shown(id))?.id ?? ''],
    publication: true,
  });
  await reconcile();
  expect(await shown(id)).toMatchObject({ state: 'scheduled' });
  expect(branch()).toBe('');
  await stage.bench.run(`delete from batch_rollout`);
  await stage.bench.run(`update changesets set process_after = clock_timestamp()`);
  await reconcile();
  expect(await shown(id)).toMatchObject({ state: 'pushed' });
});
