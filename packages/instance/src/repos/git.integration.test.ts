import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openTestServer, type TestServer } from '../db/testing.ts';
import type { InstanceParts } from '../instance.ts';
import { command, objectsIn, packets } from '../testing/git-protocol.ts';
import { type GitTarget, gitPath, startGitTarget } from '../testing/git-target.ts';
import { makeSource, type Source, secretText } from '../testing/source.ts';

const run = promisify(execFile);

/**
 * A job may read one commit. The instance has another commit of the same repository, and the tests ask for it with the job's token:
 * each request goes to the real store, and to a single repository that holds both commits, as a control.
 */
let server: TestServer;
let source: Source;
let real: GitTarget;
/** One repository with both branches, from which git may send objects in every way that it knows. */
let open: GitTarget;
/** The same repository, without any configuration of git. */
let plain: GitTarget;

beforeAll(async () => {
  server = openTestServer();
  source = makeSource();
  const { commit, secret } = source;
  real = await startGitTarget(server);
  for (const one of [commit, secret]) await real.put(one, source.alone(one));
  await real.lease(commit);
  open = await startGitTarget(server, { openCommits: oneRepository(allowances) });
  await open.lease(commit);
  plain = await startGitTarget(server, { openCommits: oneRepository([]) });
  await plain.lease(commit);
});
afterAll(async () => {
  for (const one of [real, open, plain]) await one.stop();
  await server.stop();
  source.remove();
});

const allowances = [
  'uploadpack.allowAnySHA1InWant',
  'uploadpack.allowFilter',
  'uploadpack.allowRefInWant',
  'transfer.advertiseObjectInfo',
];

/** Returns a store without the defence: git reads the same repository for every commit. */
function oneRepository(allowed: readonly string[]): InstanceParts['openCommits'] {
  return async (directory) => {
    const all = join(directory, 'all.git');
    source.git(['clone', '-q', '--bare', '.', all]);
    for (const name of allowed) source.git(['--git-dir', all, 'config', name, 'true']);
    return { find: () => all, add: async () => false };
  };
}

type Attack = readonly [version: number, body: (id: string) => Buffer];
const bands = 'side-band-64k ofs-delta';
const wanting =
  (...capabilities: string[]) =>
  (id: string) =>
    packets([`want ${id}`, ...capabilities].join(' '), null, 'done');

/** Ways to ask for an object by its id. */
const attacks: Record<string, Attack> = {
  'v0: want': [0, wanting()],
  'v0: want, with capabilities': [0, wanting(bands, 'include-tag')],
  'v0: want, saying that anything may be wanted': [
    0,
    wanting(bands, 'allow-tip-sha1-in-want', 'allow-reachable-sha1-in-want', 'allow-any-sha1-in-want'),
  ],
  'v0: want, without parents': [0, (id) => packets(`want ${id} ${bands} shallow`, 'deepen 1', null, 'done')],
  'v0: want, beside what is allowed': [
    0,
    (id) => packets(`want ${source.commit} ${bands}`, `want ${id}`, null, 'done'),
  ],
  'v0: want, filtered': [
    0,
    (id) => packets(`want ${id} ${bands} filter`, 'filter blob:limit=1m', null, 'done'),
  ],
  'v1: want': [1, wanting(bands)],
  'v2: want': [2, (id) => command('fetch', `want ${id}`, 'done')],
  'v2: want, beside what is allowed': [
    2,
    (id) => command('fetch', `want ${source.commit}`, `want ${id}`, 'done'),
  ],
  'v2: want, without parents': [2, (id) => command('fetch', `want ${id}`, 'deepen 1', 'done')],
  'v2: want, filtered': [2, (id) => command('fetch', `want ${id}`, 'filter blob:limit=1m', 'done')],
  'v2: want, with a tree only so deep': [2, (id) => command('fetch', `want ${id}`, 'filter tree:9', 'done')],
};

/** Returns the objects that the job may not read: of the other branch, and of the history of its own commit. */
function forbidden(): [what: string, id: string][] {
  const { first, secret } = source;
  const names = {
    'the commit of the other branch': secret,
    'its tree': `${secret}^{tree}`,
    'its secret': `${secret}:deep/secret`,
    'the commit before': first,
  };
  return Object.entries(names).map(([what, name]) => [what, source.git(['rev-parse', name])]);
}

/** Returns the objects of the job's own commit. */
const own = () =>
  source.git(['rev-list', '--objects', '--no-object-names', '--no-walk', source.commit]).split('\n').sort();

/** Asks for each object that the job may not read; returns them with the answers. */
const askForEach = (target: GitTarget, [version, body]: Attack) =>
  Promise.all(
    forbidden().map(async ([what, id]) => ({ what, id, ...(await target.ask(version, body(id))) })),
  );

function expectNothingIn(bytes: Buffer, what: string): void {
  expect(objectsIn(bytes), what).toEqual([]);
  for (const text of ['PACK', secretText.trim()]) expect(bytes.includes(text), what).toBe(false);
}

describe.each(Object.entries(attacks))('%s', (_name, attack) => {
  it('gets no object of another branch, nor of the history', async () => {
    for (const { what, bytes } of await askForEach(real, attack)) {
      expectNothingIn(bytes, what);
      // Git's error; an unknown line ends git without one.
      expect(bytes.toString('latin1'), what).toMatch(/ERR upload-pack: not our ref|^$/);
    }
  });

  it('gets it from a single repository that holds everything', async () => {
    for (const { what, id, bytes } of await askForEach(open, attack))
      expect(objectsIn(bytes), what).toContain(id);
  });
});

describe('the job reads', () => {
  it.each([0, 1, 2])('its whole commit and nothing else (v%i)', async (version) => {
    const wanted =
      version === 2
        ? command('fetch', `want ${source.commit}`, 'done')
        : packets(`want ${source.commit} ${bands}`, null, 'done');
    expect(objectsIn((await real.ask(version, wanted)).bytes)).toEqual(own());
  });

  it('no name of another branch, and no object by such a name', async () => {
    const names = command('ls-refs', 'peel', 'symrefs', 'ref-prefix refs/');
    const byName = command('fetch', 'want-ref refs/heads/secret', 'done');
    expect((await real.ask(2, names)).bytes.toString()).toBe(
      packets(`${source.commit} refs/heads/main`, null).toString(),
    );
    expectNothingIn((await real.ask(2, byName)).bytes, 'by its name');

    expect((await open.ask(2, names)).bytes.toString()).toContain(`${source.secret} refs/heads/secret`);
    expect(objectsIn((await open.ask(2, byName)).bytes)).toContain(source.secret);
  });

  it('no size of an object that it may not read', async () => {
    const sizes: Attack = [2, (id) => command('object-info', 'size', `oid ${id}`)];
    const sized = ({ id, bytes }: { id: string; bytes: Buffer }) =>
      new RegExp(`${id} (\\d*)0000$`).exec(bytes.toString('latin1'))?.[1];
    for (const one of await askForEach(real, sizes)) expect(sized(one), one.what).toBe('');
    for (const one of await askForEach(open, sizes))
      expect(sized(one), one.what).toBe(source.git(['cat-file', '-s', one.id]));
  });
});

it('git sends any object of a repository by version 2, without any configuration', async () => {
  const wanted: Attack = [2, (id) => command('fetch', `want ${id}`, 'done')];
  for (const { what, id, bytes } of await askForEach(plain, wanted))
    expect(objectsIn(bytes), what).toContain(id);
});

describe('the git client', () => {
  /** Returns the objects that a client of one protocol version has after it has asked for each of the ids. */
  async function fetched(target: GitTarget, version: number, ids: readonly string[]): Promise<string[]> {
    const directory = mkdtempSync(join(tmpdir(), 'fumehood-client-'));
    const git = (...args: string[]) =>
      run('git', ['-C', directory, '-c', `protocol.version=${version}`, ...args], { env: environment });
    const environment = { PATH: process.env.PATH, GIT_CONFIG_NOSYSTEM: '1', GIT_CONFIG_GLOBAL: '/dev/null' };
    try {
      await git('init', '-q');
      for (const [name, value] of Object.entries(target.headers()))
        await git('config', '--add', 'http.extraHeader', `${name}: ${value}`);
      const url = `${target.instance.url}${gitPath}`;
      for (const id of ids) await git('fetch', '-q', '--depth=1', url, id).catch(() => {}); // the objects that the client has then are compared
      const { stdout } = await git('cat-file', '--batch-all-objects', '--batch-check=%(objectname)');
      return stdout.split('\n').filter((id) => id !== '');
    } finally {
      rmSync(directory, { recursive: true });
    }
  }

  it.each([0, 2])('gets the commit and nothing else (v%i)', async (version) => {
    const others = forbidden().map(([, id]) => id);
    expect(await fetched(real, version, ['refs/heads/main', source.commit])).toEqual(own());
    expect(await fetched(real, version, ['refs/heads/secret', ...others])).toEqual([]);
    expect(await fetched(open, version, others)).toEqual(expect.arrayContaining(others));
  });
});
