import { expect, test } from 'vitest';
import {
  closeBatchChange,
  closeChangesets,
  commentChangesets,
  mergeChangesets,
  reenqueueChangesets,
} from '../../packages/instance/src/changesets/actions.ts';
import { diffAdding } from '../../packages/instance/src/changesets/testing.ts';
import { hostNotReady, hostRefused } from '../../packages/instance/src/code-hosts/errors.ts';
import { gate, stageReconciler } from './reconciler.ts';

const stage = stageReconciler('acme/api');
const { apply, expireClaims, onForge, reconcile, shown, spec } = stage;

test('people comment on a changeset, close it and merge it, and nothing else is done with it', async () => {
  await onForge();
  const { db, person } = stage.bench;
  const id = await apply(spec());
  await reconcile();
  const one = [(await shown(id))?.id ?? ''];
  await commentChangesets(db, person, id, one, { body: 'first' });
  await commentChangesets(db, person, id, one, { body: 'second' });
  await reconcile();
  expect(stage.forge.comments).toEqual([expect.stringMatching(/^first /), expect.stringMatching(/^second /)]);
  await closeChangesets(db, person, id, one);
  await reconcile();
  await commentChangesets(db, person, id, one, { body: 'third' });
  await reconcile();
  expect(await shown(id)).toMatchObject({ state: 'closed', failure: null });
  expect(stage.forge.calls).toEqual(['open', 'comment', 'comment', 'close', 'comment']);
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
  expect(stage.forge.calls.slice(5)).toEqual(['reopen', 'squash']);
});

test('a merge that the host refuses is a failure of the changeset, and is not tried again by itself', async () => {
  await onForge();
  const { db, person } = stage.bench;
  const id = await apply(spec());
  await reconcile();
  const one = [(await shown(id))?.id ?? ''];
  stage.forge.before = (call) =>
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
  stage.forge.before = () => undefined;
  await mergeChangesets(db, person, id, one, { squash: false });
  await reconcile();
  expect(await shown(id)).toMatchObject({ state: 'merged', failure: null });
});

test('a host that does not know yet whether it can merge is asked again', async () => {
  await onForge();
  const { db, person } = stage.bench;
  const id = await apply(spec());
  await reconcile();
  stage.forge.before = () => Promise.reject(hostNotReady('forge', 'later'));
  await mergeChangesets(db, person, id, [(await shown(id))?.id ?? ''], { squash: false });
  await reconcile();
  expect(await shown(id)).toMatchObject({ state: 'retrying' });
  stage.forge.before = () => undefined;
  await stage.bench.run(`update changesets set process_after = clock_timestamp()`);
  await reconcile();
  expect(await shown(id)).toMatchObject({ state: 'merged' });
});

test('a replica that dies after it has commented leaves one comment, and what is asked meanwhile is done', async () => {
  await onForge();
  const { db, person } = stage.bench;
  const id = await apply(spec());
  await reconcile();
  const one = [(await shown(id))?.id ?? ''];
  await commentChangesets(db, person, id, one, { body: 'first' });
  const { waiting, release, wait } = gate();
  stage.forge.after = wait;
  const dead = reconcile();
  await waiting;
  await expireClaims();
  await commentChangesets(db, person, id, one, { body: 'second' });
  stage.forge.after = async () => {};
  await reconcile();
  release();
  await dead;
  expect(stage.forge.comments).toEqual([expect.stringMatching(/^first /), expect.stringMatching(/^second /)]);
  expect(await stage.bench.run(`select comments, reconciler from changesets`)).toEqual([
    { comments: [], reconciler: 'completed' },
  ]);
});

test('what was to be pushed when a changeset was closed is pushed when it is opened again', async () => {
  await onForge();
  const id = await apply(spec());
  await reconcile();
  await apply(spec({ diff: diffAdding('a', 'b') }));
  await closeBatchChange(stage.bench.db, stage.bench.person, id, { closeChangesets: true });
  await reconcile();
  expect(stage.remote.git('show', 'fix:a')).toBe('a');
  await apply(spec({ diff: diffAdding('a', 'b') }));
  await reconcile();
  expect(await shown(id)).toMatchObject({ state: 'open' });
  expect(stage.remote.git('show', 'fix:a')).toBe('b');
});

test('nothing can be asked for on a host that there is none of, or of what is not there yet', async () => {
  const { db, person } = stage.bench;
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
