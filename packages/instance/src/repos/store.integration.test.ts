import { chmodSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { localSpawn, type Spawn } from '@fumehood/base';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeSource, type Source } from '../testing/source.ts';
import { emptyCommit, packOfEmptyCommit } from './empty-commit.ts';
import { type CommitStore, openCommits } from './store.ts';

const spawn: Spawn = localSpawn(
  process.getuid?.() === 0 ? { uid: 1_900_000_004, gid: process.getgid?.() ?? 0 } : null,
);
const name = 'acme/payments';

let directory: string;
let source: Source;
let commits: CommitStore;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'fumehood-commits-'));
  chmodSync(directory, 0o711);
  source = makeSource();
  commits = await openCommits(directory, spawn, '0'.repeat(16));
});
afterAll(() => {
  source.remove();
  rmSync(directory, { recursive: true });
});

async function* inChunks(bytes: Buffer): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 100) yield bytes.subarray(at, at + 100);
}
const add = (commit: string, pack: Buffer, repository = name) =>
  commits.add(repository, commit, inChunks(pack));
const objectsOf = (commit: string) =>
  source.git(['rev-list', '--objects', '--no-object-names', '--no-walk', commit]).split('\n');
const tagOf = (commit: string) => `object ${commit}\ntype commit\ntag one\ntagger t <t@t> 0 +0000\n\nof it\n`;
function manyFiles(): string[] {
  const files = Array.from({ length: 3_000 }, (_, at) => `blob\nmark :${at + 1}\ndata 5\n${10_000 + at}\n`);
  const ids = Array.from(files, (_, at) => `get-mark :${at + 1}\n`);
  return source.git(['fast-import', '--quiet'], [...files, ...ids].join('')).split('\n');
}
const idOf = (revision: string) => source.git(['rev-parse', revision]);

it('stores a whole commit once, each in a repository of its own', async () => {
  const { commit, secret } = source;
  expect(commits.find(name, commit)).toBeNull();
  expect(await add(commit, source.alone(commit))).toBe(true);
  expect(await add(commit, Buffer.from('not even looked at'))).toBe(false);
  expect(await add(secret, source.alone(secret))).toBe(true);
  const [one, other] = [commits.find(name, commit), commits.find(name, secret)];
  expect(one).toMatch(/\.git$/);
  expect(other).toMatch(/\.git$/);
  expect(one).not.toBe(other);
  expect(commits.find('acme/other', commit)).toBeNull();
});

it('stores a commit without files, and one with a submodule', async () => {
  expect(await add(emptyCommit, packOfEmptyCommit())).toBe(true);
  const empty = source.git(['commit-tree', '-m', 'empty', source.git(['mktree'], '')]);
  expect(await add(empty, source.alone(empty))).toBe(true);
  const tree = source.git(['mktree'], `160000 commit ${'1'.repeat(40)}\tmodule\n`);
  const withModule = source.git(['commit-tree', '-m', 'module', tree]);
  expect(await add(withModule, source.alone(withModule))).toBe(true);
});

describe('refuses a pack', () => {
  const repository = 'acme/refused';

  const withAlso = (...others: string[]) => source.pack([...objectsOf(source.commit), ...others].join('\n'));
  const without = (id: string) =>
    source.pack(
      objectsOf(source.commit)
        .filter((one) => one !== id)
        .join('\n'),
    );
  const more: [what: string, pack: () => Buffer][] = [
    ['a file', () => withAlso(idOf('secret:deep/secret'))],
    ['a directory', () => withAlso(idOf('secret:deep'), idOf('secret:deep/secret'))],
    ['a tag', () => withAlso(source.git(['mktag'], tagOf(source.commit)))],
    ['another commit', () => source.pack(`--shallow ${source.commit}\n${source.commit}\nsecret\n`, '--revs')],
    ["the commit's history", () => source.pack(`${source.commit}\n`, '--revs')],
    ['more than git could name in the space that it gets', () => withAlso(...manyFiles())],
  ];
  it.each(more)('that holds the commit and %s', async (_what, pack) => {
    await expect(add(source.commit, pack(), repository)).rejects.toMatchObject({
      code: 'pack_holds_more',
      status: 400,
      remedy: expect.stringContaining(`--shallow ${source.commit}`),
    });
  });

  it('that holds another file instead of the empty tree, which git has anyway', async () => {
    const empty = source.git(['commit-tree', '-m', 'empty', source.git(['mktree'], '')]);
    const pack = source.pack(`${empty}\n${idOf('secret:deep/secret')}\n`);
    await expect(add(empty, pack, repository)).rejects.toMatchObject({ status: 400 });
  });

  const lacking: [what: string, pack: () => Buffer][] = [
    ['a file of the commit', () => without(idOf(`${source.commit}:src/old.ts`))],
    ['a directory of the commit', () => without(idOf(`${source.commit}:src`))],
    ['the commit itself', () => without(source.commit)],
    ['all of it', () => source.alone(source.secret)],
  ];
  it.each(lacking)('that lacks %s', async (_what, pack) => {
    await expect(add(source.commit, pack(), repository)).rejects.toMatchObject({
      code: expect.stringMatching(/^(repository_invalid|commit_incomplete)$/),
      status: 400,
    });
  });

  it('with a path that leads out of its directory', async () => {
    const entry = Buffer.concat([
      Buffer.from('40000 ..\0'),
      Buffer.from(idOf(`${source.commit}:src`), 'hex'),
    ]);
    const tree = source.git(['hash-object', '-t', 'tree', '-w', '--stdin', '--literally'], entry);
    const commit = source.git(['commit-tree', tree, '-m', 'x']);
    await expect(add(commit, source.alone(commit), repository)).rejects.toMatchObject({
      code: 'repository_invalid',
      message: expect.stringContaining('is not a path below the root'),
    });
  });

  it('under the id of an object that is not a commit', async () => {
    const tree = idOf(`${source.commit}^{tree}`);
    await expect(add(tree, without(source.commit), repository)).rejects.toMatchObject({ status: 400 });
  });

  it('and stores nothing of it', async () => {
    expect(commits.find(repository, source.commit)).toBeNull();
    expect(readdirSync(join(directory, 'staging', '0'.repeat(16)))).toEqual([]);
    expect(await add(source.commit, source.alone(source.commit), repository)).toBe(true);
  });
});
