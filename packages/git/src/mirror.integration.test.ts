import { chmodSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { collect, localSpawn, openFetch } from '@fumehood/base';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { exportCommit, type Mirror, makeMirror, openMirror } from './mirror.ts';
import { fetchHistory, listRefs, type RemoteHttp } from './remote.ts';
import { makeRepository } from './repository.ts';
import { type GitServer, startGitServer } from './testing/git-server.ts';

const isRoot = process.getuid?.() === 0;
const spawn = localSpawn(isRoot ? { uid: 1_900_000_003, gid: process.getgid?.() ?? 0 } : null);

let root: string;
let source: GitServer;
let http: RemoteHttp;
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'fumehood-mirror-'));
  chmodSync(root, 0o711);
  source = await startGitServer();
  const fetchFrom = openFetch(source.url);
  http = (request) => fetchFrom(request);
});
afterAll(() => {
  source.stop();
  rmSync(root, { recursive: true, force: true });
});

/** Brings a mirror up to date, as an instance does. */
async function sync(mirror: Mirror): Promise<Mirror> {
  const remote = await listRefs(http);
  const known = new Set(mirror.refs.refs.values());
  const wants = [...new Set(remote.refs.values())].filter((object) => !known.has(object));
  return await mirror.update(remote, wants.length > 0 ? await fetchHistory(http, wants, [...known]) : null);
}
async function ask(mirror: Mirror, ...args: string[]): Promise<string> {
  const child = await mirror.git('git', args);
  child.stdin.end();
  child.stderr.resume();
  return (await collect(child.stdout, 2 ** 20)).toString().trimEnd();
}

it('a mirror has the branches, tags and history of its remote, and takes only what is new', async () => {
  source.commit({ one: '1' });
  const noise = Buffer.from(Array.from({ length: 300_000 }, () => Math.floor(Math.random() * 256)));
  const first = source.commit({ noise });
  source.git('tag', '-a', 'v1', '-m', 'v1');
  const made = await sync(await makeMirror(spawn, join(root, 'mirror')));
  expect([...made.refs.refs.keys()]).toEqual(['refs/heads/main', 'refs/tags/v1']);
  expect(made.refs.head).toBe('refs/heads/main');
  expect(await ask(made, 'rev-list', '--count', 'refs/heads/main')).toBe('2');
  const before = source.sent();
  noise[5] = 1; // the pack builds on the object that the mirror has
  const second = source.commit({ noise });
  source.git('branch', 'side');
  const updated = await sync(made);
  expect(source.sent() - before).toBeLessThan(100_000);
  expect(updated.refs.refs.get('refs/heads/side')).toBe(second);
  expect(await ask(updated, 'rev-list', '--count', second, `^${first}`)).toBe('1');
  expect(await ask(updated, 'fsck', '--connectivity-only')).toBe('');
  source.git('branch', '-D', 'side');
  const smaller = await sync(updated);
  expect([smaller.refs.refs.has('refs/heads/side'), smaller.packs]).toEqual([false, 2]);
  expect(await openMirror(spawn, join(root, 'mirror'))).toMatchObject({ refs: smaller.refs, packs: 2 });
});

it('a commit of a mirror is given out without its history', async () => {
  const mirror = await openMirror(spawn, join(root, 'mirror'));
  const tip = mirror.refs.refs.get('refs/heads/main') ?? '';
  const pack = { shallow: true, bytes: exportCommit(spawn, mirror, tip) };
  const made = await makeRepository(spawn, join(root, 'given'), tip, pack);
  const child = await made.git('git rev-list', ['rev-list', '--count', tip]);
  child.stdin.end();
  expect((await collect(child.stdout, 100)).toString().trim()).toBe('1');
  await expect(collect(exportCommit(spawn, mirror, '1'.repeat(40)), 1000)).rejects.toMatchObject({
    code: 'repository_invalid',
  });
});

it('a mirror stays as it is when objects are missing or broken', async () => {
  const mirror = await openMirror(spawn, join(root, 'mirror'));
  const before = readdirSync(join(root, 'mirror/objects/pack'));
  const lost = { head: null, refs: new Map([['refs/heads/x', '2'.repeat(40)]]) };
  const [tip = ''] = mirror.refs.refs.values();
  const packs = [await fetchHistory(http, [tip], []), [Buffer.from('no pack')]];
  for (const pack of packs) {
    const stream = (async function* () {
      yield* pack;
    })();
    await expect(mirror.update(lost, stream)).rejects.toMatchObject({ code: 'repository_invalid' });
  }
  expect(readdirSync(join(root, 'mirror/objects/pack'))).toEqual(before);
  expect(readdirSync(join(root, 'mirror')).filter((name) => name.startsWith('incoming'))).toEqual([]);
  expect((await openMirror(spawn, join(root, 'mirror'))).refs).toEqual(mirror.refs);
});

it('a remote that is none is refused with what to do', async () => {
  const elsewhere: RemoteHttp = (request) => http({ ...request, path: `/none${request.path}` });
  await expect(listRefs(elsewhere)).rejects.toMatchObject({ code: 'remote_refused' });
});
