import { expect, test, vi } from 'vitest';
import type { HostControl } from './forge.ts';

/** Tests what every code host has to do. `control` has a repository without pull requests when the first of the tests begins. */
export function testCodeHost(control: () => HostControl): void {
  const request = () => ({
    head: control().head,
    base: control().bases[0],
    title: 'A title',
    body: 'A\n\nbody',
  });
  let id: string;

  test('finds nothing for a branch without a changeset', async () => {
    expect(await control().host.find(control().head)).toBeNull();
  });

  test('opens a draft, and no second one', async () => {
    const { host, head, headCommit, bases } = control();
    const opened = await host.open({ ...request(), draft: true });
    id = opened.externalId;
    expect(opened).toEqual({
      ...{ externalId: id, url: expect.stringMatching(/^https?:\/\//), state: 'draft', title: 'A title' },
      ...{ body: 'A\n\nbody', base: bases[0], head, headCommit, review: null, checks: null },
    });
    expect(await host.open({ ...request(), draft: true })).toEqual(opened);
    expect(await host.find(head)).toEqual(opened);
    expect(await host.read(id)).toEqual(opened);
  });

  test('opens one only for two who ask at the same time', async () => {
    const { host } = control();
    await host.close(id);
    const [one, other] = await Promise.all([1, 2].map(() => host.open({ ...request(), draft: true })));
    expect(other?.externalId).toBe(one?.externalId);
    id = one?.externalId ?? '';
  });

  test('changes title, body and base, and a draft stays one until it is told', async () => {
    const { host, bases } = control();
    const change = { title: 'Another title', body: '', base: bases[1] };
    expect(await host.update(id, change)).toMatchObject({ ...change, state: 'draft' });
    expect(await host.undraft(id)).toMatchObject({ ...change, state: 'open' });
    expect(await host.undraft(id)).toMatchObject({ ...change, state: 'open' });
    expect(await host.update(id, { ...change, base: bases[0] })).toMatchObject({
      ...{ title: 'Another title', base: bases[0], state: 'open' },
    });
  });

  test('tells what checks and reviews come to', async () => {
    const { host, check, review } = control();
    for (const result of ['pending', 'failed', 'passed'] as const) {
      await check(result);
      expect(await host.read(id)).toMatchObject({ checks: result, review: null });
    }
    await review(id, 'changes_requested');
    expect(await host.read(id)).toMatchObject({ review: 'changes_requested', checks: 'passed' });
    await review(id, 'approved');
    expect(await host.read(id)).toMatchObject({ review: 'approved' });
  });

  test('closes and reopens', async () => {
    const { host, head } = control();
    expect(await host.close(id)).toMatchObject({ externalId: id, state: 'closed' });
    expect(await host.find(head)).toBeNull();
    expect(await host.reopen(id)).toMatchObject({ externalId: id, state: 'open' });
    expect(await host.find(head)).toMatchObject({ externalId: id });
  });

  test('adds a comment once', async () => {
    const { host, comments } = control();
    const comment = { id: 'a1', body: 'Please *look*', since: '2026-01-01T00:00:00Z' };
    expect(await host.comment(id, comment)).toMatchObject({ externalId: id, state: 'open' });
    await host.comment(id, comment);
    await host.comment(id, { ...comment, id: 'b2', body: 'Thanks' });
    expect(await comments(id)).toEqual([
      expect.stringMatching(/^Please \*look\*\n\n<!-- \w+ a1 -->$/),
      expect.stringMatching(/^Thanks/),
    ]);
  });

  test('tells that one was merged, by whomever', async () => {
    const { host, head, merge } = control();
    await merge(id);
    expect(await host.read(id)).toMatchObject({ state: 'merged', head, title: 'Another title' });
    expect(await host.find(head)).toBeNull();
  });

  test('merges one that is open, and a repetition finds it merged', async () => {
    const { host, bases } = control();
    const { externalId: other } = await host.open({ ...request(), base: bases[1], draft: true });
    const merge = () => host.merge(other, { squash: true });
    await expect(merge()).rejects.toMatchObject({
      code: 'host_refused',
      message: expect.stringContaining('is draft'),
    });
    await host.undraft(other);
    // A host may need a while until it knows whether it can be merged.
    await vi.waitFor(merge, { timeout: 10_000, interval: 200 });
    expect(await merge()).toMatchObject({ externalId: other, state: 'merged' });
  });

  test('tells that there is none any more', async () => {
    const { host, remove } = control();
    await remove(id);
    expect(await host.read(id)).toMatchObject({ externalId: id, state: 'deleted' });
    const comment = { id: 'a1', body: 'Hello?', since: '2026-01-01T00:00:00Z' };
    expect(await host.comment(id, comment)).toMatchObject({ state: 'deleted' });
  });
}
