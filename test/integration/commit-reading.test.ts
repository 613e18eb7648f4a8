import { chmodSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { allowedRequest, localSpawn, openFetch, type Spawn } from '@fumehood/base';
import { fetchHistory, listRefs, type Mirror, makeMirror } from '@fumehood/git';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type GitServer, startGitServer } from '../../packages/git/src/testing/git-server.ts';
import { storeDocuments } from '../../packages/instance/src/codeintel/documents.ts';
import { indexLimits } from '../../packages/instance/src/codeintel/limits.ts';
import { searchWord } from '../../packages/instance/src/codeintel/search.ts';
import { SourceTexts } from '../../packages/instance/src/codeintel/texts.ts';
import { clientConfig, connect } from '../../packages/instance/src/db/connect.ts';
import { openTestServer } from '../../packages/instance/src/db/testing.ts';
import { readFiles } from '../../packages/instance/src/repos/commit-files.ts';
import { readLineMap } from '../../packages/instance/src/repos/line-map.ts';
import { ancestors, catFiles, mirrorStoreCommands } from '../../packages/instance/src/repos/mirrors.ts';
import { nearestCommit } from '../../packages/instance/src/repos/nearby.ts';
import { type ReadBounds, readGit } from '../../packages/instance/src/repos/read-git.ts';
import { scipFile, scipIndex } from '../../packages/instance/src/testing/scip.ts';

const isRoot = process.getuid?.() === 0;
const local = localSpawn(isRoot ? { uid: 1_900_000_003, gid: process.getgid?.() ?? 0 } : null);

let root: string;
let source: GitServer;
let mirror: Mirror;
/** The programs that were started, by their labels. */
let started: string[] = [];
const commits: string[] = [];

/** Starts what the helper allows, and nothing else. */
const spawn: Spawn = async (request) => {
  started.push(request.label);
  return await local(allowedRequest(request, mirrorStoreCommands(root)));
};

const numbered = Array.from({ length: 60 }, (_, n) => `line ${n}`);
const edited = [
  'first',
  ...numbered.slice(0, 20),
  'changed',
  ...numbered.slice(21, 40),
  ...numbered.slice(45),
];

beforeAll(async () => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'fumehood-reading-')));
  chmodSync(root, 0o711);
  source = await startGitServer();
  const at = (n: number) => `2026-01-01T00:00:0${n}Z`;
  const lines = (all: readonly string[]) => all.map((line) => `${line}\n`).join('');
  commits.push(source.commit({ 'a.txt': lines(numbered) }, at(0)));
  commits.push(source.commit({ 'a.txt': lines(edited), 'ä.ts': 'é', big: 'b'.repeat(1_000) }, at(1)));
  commits.push(source.commit({ raw: Buffer.from([0xff, 0]), 'empty.txt': '', 'two\nlines': '2' }, at(2)));
  const code = {
    'code/a.ts': '// größe: größe()\nshow("😀", größe, größer, $größe, run);\n-x(.*);\n',
    'code/b\nc.ts': 'é\nexport function größe() {}\n',
    'code/many.txt': 'row\n'.repeat(300),
    'code/long.txt': `run ${'x '.repeat(600_000)}\n`,
    'code/z.py': 'def run():\n',
    '.gitattributes': '*.ts binary\n',
  };
  commits.push(source.commit(code, at(3)));
  commits.push(source.commit({ 'units/ä.ts': "'é'größer\n" }, at(4)));
  commits.push(source.commit({ 'units/ä.ts': "'é'é\n" }, at(5)));
  const fetchFrom = openFetch(source.url);
  const refs = await listRefs((request) => fetchFrom(request));
  const pack = await fetchHistory((request) => fetchFrom(request), [...refs.refs.values()], []);
  mirror = await (await makeMirror(spawn, join(root, 'mirror'))).update(refs, pack);
  started = [];
});
afterAll(() => {
  source.stop();
  rmSync(root, { recursive: true, force: true });
});
const commit = (n: number) => commits[n] ?? '';

it('files of a commit are read by two processes, however many they are; what is no small text is not', async () => {
  const paths = ['big', 'a.txt', 'none', 'raw', 'two\nlines', 'ä.ts', 'empty.txt', '../a.txt', 'a.txt/b', ''];
  const found = await readFiles(mirror, commit(2), paths, 999);
  expect([...found.keys()]).toEqual(['a.txt', 'ä.ts', 'empty.txt']);
  expect([found.get('a.txt')?.split('\n')[21], found.get('ä.ts')]).toEqual(['changed', 'é']);
  expect(started.splice(0)).toEqual(['git cat-file', 'git cat-file']);
});

it('a document that counts in UTF-8 is stored in UTF-16, by the text of its file at its commit', async () => {
  const server = openTestServer();
  const connection = await server.clone();
  const db = connect(connection, { connections: 2 });
  const client = new Client(clientConfig(connection));
  await client.connect();
  try {
    const name = { range: [0, 4, 13], symbol: 's m p 1 x.', role: 1 as const };
    const index = scipIndex([
      scipFile('ä.ts', [name], { encoding: 1 }),
      scipFile('none.ts', [name], { encoding: 1 }),
    ]);
    const stored = async (commit: string) => {
      const texts = new SourceTexts(() => Promise.resolve(mirror), commit, 'units');
      const bytes = (async function* () {
        yield index;
      })();
      const { documents } = await storeDocuments(db, bytes, texts, indexLimits);
      const ranges: [string | null, number[]][] = [];
      for (const { id, path } of documents) {
        const { rows } = await client.query<{ ranges: number[] }>(
          'select ranges from document_symbols where document_id = $1',
          [id],
        );
        ranges.push([path, rows[0]?.ranges ?? []]);
      }
      return Object.fromEntries(ranges) as Record<string, number[]>;
    };
    // "none.ts" has no text, and stays as it is.
    expect(await stored(commit(4))).toEqual({ 'none.ts': [0, 4, 0, 13], 'ä.ts': [0, 3, 0, 9] });
    expect(await stored(commit(5))).toEqual({ 'none.ts': [0, 4, 0, 13], 'ä.ts': [0, 3, 0, 4] });
    expect(started.splice(0)).toEqual(Array<string>(6).fill('git cat-file'));
    expect(await stored(commit(4))).toEqual({ 'none.ts': [0, 4, 0, 13], 'ä.ts': [0, 3, 0, 9] });
    // The document is known by the id of its file.
    expect(started.splice(0)).toEqual(['git cat-file']);
  } finally {
    await client.end();
    await db.destroy();
    await server.stop();
  }
});

it('the nearest commit of several is the newest ancestor', async () => {
  expect(await nearestCommit(mirror, commit(2), new Set([commit(0), commit(1)]))).toBe(commit(1));
  expect(await nearestCommit(mirror, commit(2), new Set(commits))).toBe(commit(2));
  expect(await nearestCommit(mirror, commit(0), new Set([commit(1), commit(2)]))).toBeNull();
  await expect(nearestCommit(mirror, '1'.repeat(40), new Set(commits))).rejects.toMatchObject({
    code: 'git_failed',
  });
});

it('a line of a file is found in another commit, unless it was changed', async () => {
  const map = await readLineMap(mirror, commit(0), commit(2), 'a.txt');
  const at = (line: string | undefined) => {
    const found = edited.indexOf(line ?? '');
    return found < 0 ? null : found;
  };
  expect(numbered.map((_, n) => map?.toNew(n))).toEqual(numbered.map(at));
  expect(edited.map((_, n) => map?.toOld(n))).toEqual(
    edited.map((line) => (numbered.includes(line) ? numbered.indexOf(line) : null)),
  );
  expect((await readLineMap(mirror, commit(1), commit(2), 'a.txt'))?.toNew(7)).toBe(7);
  expect(await readLineMap(mirror, commit(0), commit(2), 'big')).toBeNull();
  expect(await readLineMap(mirror, commit(2), commit(2), '--output=/x')).toBeNull();
});

describe('the places of an identifier', () => {
  const search = (line: number, character: number, path = 'code/a.ts') =>
    searchWord(mirror, commit(3), { path, line, character });

  it('are those of whole words in all text files, definitions first, in UTF-16 columns', async () => {
    const word = (path: string, line: number, character: number) => ({
      ...{ path, line, character, endCharacter: character + 5 },
    });
    expect(await search(1, 12)).toEqual([
      word('code/b\nc.ts', 1, 16),
      word('code/a.ts', 0, 3),
      word('code/a.ts', 0, 10),
      word('code/a.ts', 1, 11),
    ]);
  });

  it('are none where there is no identifier, also for what git could take for an option or a pattern', async () => {
    started = [];
    for (const [line, character] of [
      [2, 0],
      [2, 4],
      [9, 0],
    ] as const)
      expect(await search(line, character)).toEqual([]);
    expect(await search(0, 0, 'none')).toEqual([]);
    expect(started).not.toContain('git grep');
  });

  it('are at most 200, of the first 1 MiB that git finds', async () => {
    const many = await search(0, 0, 'code/many.txt');
    expect([many.length, many[0]?.path, many[199]?.line]).toEqual([200, 'code/many.txt', 199]);
    // Git finds the word in `code/z.py` after a line that is longer than that.
    expect(await search(1, 34)).toEqual([{ path: 'code/a.ts', line: 1, character: 34, endCharacter: 37 }]);
  });
});

it('git is ended when it prints more than is read, or takes longer than it may', async () => {
  const log = async (bounds: ReadBounds) => {
    const child = await mirror.git('git rev-list', [...ancestors, commit(3)]);
    return await readGit(child, bounds);
  };
  expect(await log({ bytes: 4 * 41, ms: 60_000 })).toMatchObject({ code: 0, isCut: false });
  const cut = await log({ bytes: 60, ms: 60_000 });
  expect([cut.isCut, cut.stdout.length]).toEqual([true, 60]);
  // It waits for a line of input that does not come.
  const waiting = await mirror.git('git cat-file', catFiles);
  const end = waiting.stdin.end.bind(waiting.stdin);
  waiting.stdin.end = () => waiting.stdin;
  expect(await readGit(waiting, { bytes: 60, ms: 200 })).toMatchObject({ isCut: true });
  end();
});
