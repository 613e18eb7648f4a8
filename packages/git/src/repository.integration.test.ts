import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { collect, localSpawn, type Spawn } from '@fumehood/base';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { checkTree, readTree } from './commit-tree.ts';
import { type CommitPack, makeRepository, packFiles, type Repository } from './repository.ts';

const isRoot = process.getuid?.() === 0;
const spawn = localSpawn(isRoot ? { uid: 1_900_000_003, gid: process.getgid?.() ?? 0 } : null);

let root: string;
let count = 0;

/** Runs git in the source repository, without any configuration of this machine. */
function source(args: readonly string[], input?: string | Buffer): Buffer {
  const env = {
    PATH: process.env.PATH,
    HOME: root,
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_CONFIG_GLOBAL: '/dev/null',
  };
  const all = ['-C', join(root, 'source'), '-c', 'user.name=t', '-c', 'user.email=t@t', ...args];
  return execFileSync('git', all, { env, input, stdio: ['pipe', 'pipe', 'ignore'] });
}
const git = (args: readonly string[], input?: string | Buffer) => source(args, input).toString().trimEnd();
const pack = (input: string, ...flags: string[]) =>
  source(['pack-objects', '--stdout', '--quiet', ...flags], input);
/** Returns the pack of a commit without its history, as clients make it. */
const packOf = (commit: string) => pack(`--shallow ${commit}\n${commit}\n`, '--revs');

async function* inChunks(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 1000) yield bytes.subarray(at, at + 1000);
}
function make(
  commit: string,
  bytes: AsyncIterable<Uint8Array>,
  shallow = true,
  from = spawn,
): Promise<Repository> {
  count += 1;
  const taken: CommitPack = { shallow, bytes };
  return makeRepository(from, join(root, `made-${count}`), commit, taken);
}
const made = () => join(root, `made-${count}`);

/** Runs git on a made repository. Resolves with its output and its exit code. */
async function ask(
  repository: Repository,
  ...args: string[]
): Promise<{ output: string; code: number | null }> {
  const process = await repository.git(`git ${args[0]}`, args);
  process.stdin.end();
  process.stderr.resume();
  const output = (await collect(process.stdout, 2 ** 20)).toString().trimEnd();
  return { output, code: (await process.exited).code };
}

let first: string;
let second: string;
let other: string;

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'fumehood-git-'));
  chmodSync(root, 0o711);
  mkdirSync(join(root, 'source'));
  git(['init', '-q', '-b', 'main']);
  const commit = (name: string, text: string) => {
    writeFileSync(join(root, 'source', name), text);
    git(['add', '-A']);
    git(['commit', '-qm', name]);
    return git(['rev-parse', 'HEAD']);
  };
  first = commit('old', 'of the first commit\n');
  git(['checkout', '-qb', 'other']);
  other = commit('secret', 'of another branch\n');
  git(['checkout', '-q', 'main']);
  writeFileSync(join(root, 'source', 'old'), 'changed\n');
  second = commit('new', 'of the second commit\n');
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

describe('a repository of one commit', () => {
  let repository: Repository;
  let directory: string;

  beforeAll(async () => {
    repository = await make(second, inChunks(packOf(second)));
    directory = made();
  });

  it('has the objects of its commit, and none of the parents, of other branches or of anything else', async () => {
    const its = git(['rev-list', '--objects', '--no-object-names', '--no-walk', second]).split('\n').sort();
    const { output } = await ask(
      repository,
      'cat-file',
      '--batch-all-objects',
      '--batch-check=%(objectname)',
    );
    expect(output.split('\n')).toEqual(its);
    for (const object of [first, `${first}^{tree}`, `${first}:old`, other, `${other}:secret`]) {
      const id = git(['rev-parse', object]); // the source has it
      expect((await ask(repository, 'cat-file', '-e', id)).code, object).not.toBe(0);
    }
    expect((await ask(repository, 'show', `${second}:new`)).output).toBe('of the second commit');
  });

  it('has one branch, and nothing that git would run or follow', async () => {
    expect((await ask(repository, 'for-each-ref', '--format=%(objectname) %(refname)')).output).toBe(
      `${second} refs/heads/main`,
    );
    expect(readdirSync(directory).sort()).toEqual([
      'HEAD',
      'config',
      'objects',
      'packed-refs',
      'refs',
      'shallow',
    ]);
    expect(readdirSync(join(directory, 'objects'))).toEqual(['pack']);
    expect(readFileSync(join(directory, 'config'), 'latin1')).not.toMatch(/include|hooks|fsmonitor|alias/i);
  });

  it('is intact for git, with a history that ends after the commit', async () => {
    expect((await ask(repository, 'fsck', '--strict', '--full')).code).toBe(0);
    expect((await ask(repository, 'rev-list', '--all')).output).toBe(second);
  });

  it('has a pack and its index, with the names that git gave them', async () => {
    const [index, packed, ...more] = await packFiles(repository.packs);
    expect(index).toMatch(/^pack-[0-9a-f]{40}\.idx$/);
    expect(packed).toBe(index?.replace('.idx', '.pack'));
    expect(more).toEqual([]);
  });

  it('cannot be changed by the git that reads it', async () => {
    expect((await ask(repository, 'update-ref', 'refs/heads/new', second)).code).not.toBe(0);
    expect((await ask(repository, 'config', 'core.fsmonitor', '/bin/true')).code).not.toBe(0);
    expect((await ask(repository, 'for-each-ref', '--format=%(refname)')).output).toBe('refs/heads/main');
  });

  it('is not shallow when the commit has no parents', async () => {
    const whole = await make(first, inChunks(packOf(first)), false);
    expect(existsSync(join(made(), 'shallow'))).toBe(false);
    expect((await ask(whole, 'fsck', '--strict', '--full')).code).toBe(0);
  });
});

it("runs nothing of the caller's git configuration", async () => {
  const touched = join(root, 'something-ran');
  const run = join(root, 'run');
  writeFileSync(run, `#!/bin/sh\n: > ${touched}\nexec "$@"\n`, { mode: 0o755 });
  mkdirSync(join(root, 'hooks'));
  writeFileSync(join(root, 'hooks', 'reference-transaction'), `#!/bin/sh\n: > ${touched}\n`, { mode: 0o755 });
  const hostile = join(root, 'hostile.gitconfig');
  writeFileSync(
    hostile,
    `[core]\n hooksPath = ${root}/hooks\n fsmonitor = ${run}\n[alias]\n evil = !${run}\n[uploadpack]\n packObjectsHook = ${run}\n[safe]\n directory = *\n`,
  );
  vi.stubEnv('GIT_CONFIG_GLOBAL', hostile);
  vi.stubEnv('GIT_CONFIG_SYSTEM', hostile);
  vi.stubEnv('GIT_CONFIG_PARAMETERS', `'alias.evil=!${run}'`);
  const repository = await make(second, inChunks(packOf(second)));
  const commands = [
    ['evil'],
    ['update-ref', 'refs/heads/new', second],
    ['clone', '-q', '--no-local', '/repository', '/tmp/clone'],
  ];
  for (const args of commands) {
    await ask(repository, ...args);
    expect(existsSync(touched), args[0]).toBe(false);
  }
  // Each of these commands does run something where the configuration is read.
  for (const args of commands) {
    const here = args.map((one) =>
      one.replace('/repository', made()).replace('/tmp/clone', join(root, 'clone')),
    );
    execFileSync('git', ['--git-dir', made(), ...here], { stdio: 'ignore' });
    expect(existsSync(touched), args[0]).toBe(true);
    rmSync(touched);
  }
  vi.unstubAllEnvs();
});

describe('a pack is refused', () => {
  const invalid = (bytes: Uint8Array, commit = second) =>
    expect(make(commit, inChunks(bytes))).rejects.toMatchObject({ code: 'repository_invalid', status: 400 });

  it('when it is not a pack, is cut off, or is damaged anywhere', async () => {
    const whole = packOf(second);
    await invalid(Buffer.from('PACKnonsense'));
    await invalid(Buffer.alloc(0));
    await invalid(whole.subarray(0, whole.length - 30));
    for (const at of [13, Math.floor(whole.length / 2), whole.length - 1]) {
      const damaged = Buffer.from(whole);
      damaged.writeUInt8(damaged.readUInt8(at) ^ 0x40, at);
      await invalid(damaged);
    }
  });

  it('when it lacks a file of its commit', async () => {
    const objects = git(['rev-list', '--objects', '--no-object-names', '--no-walk', second]);
    const lacking = git(['rev-parse', `${second}:new`]);
    expect(objects).toContain(lacking);
    await invalid(pack(`${objects}\n`.replace(`${lacking}\n`, '')));
  });

  it('when its stream fails, with the error of the stream', async () => {
    const broken = async function* () {
      yield packOf(second).subarray(0, 50);
      throw new Error('the network is down');
    };
    await expect(make(second, broken())).rejects.toThrow('the network is down');
  });
});

describe('a commit of odd objects', () => {
  const literally = (type: string, bytes: Buffer | string) =>
    git(['hash-object', '-t', type, '-w', '--stdin', '--literally'], bytes);
  const entry = (mode: string, name: string, object: string) =>
    Buffer.concat([Buffer.from(`${mode} ${name}\0`), Buffer.from(object, 'hex')]);
  const blob = () => literally('blob', 'x');
  const directory = () => literally('tree', entry('100644', 'file', blob()));
  const who = 't <t@t> 0 +0000';
  const commitOf = (tree: string, author = who, committer = who, end = '\n\nx\n') =>
    literally('commit', `tree ${tree}\nauthor ${author}\ncommitter ${committer}${end}`);
  const commitWith = (...entries: Buffer[]) => commitOf(literally('tree', Buffer.concat(entries)));
  const cloneTo = (name: string, commit: string) => {
    git(['update-ref', 'refs/heads/odd', commit]);
    git(['clone', '-q', '--bare', '--no-local', '--single-branch', '--branch=odd', '.', join(root, name)]);
  };

  const odd: readonly [what: string, commit: () => string][] = [
    ['a directory of mode 040000', () => commitWith(entry('040000', 'd', directory()))],
    ['a file of mode 100664', () => commitWith(entry('100664', 'a', blob()))],
    ['a time zone of five digits', () => commitOf(directory(), 't <t@t> 0 +99999')],
    ['no time zone', () => commitOf(directory(), 't <t@t> 0')],
    ['a date beyond every clock', () => commitOf(directory(), 't <t@t> 99999999999999999999 +0000')],
    ['no address', () => commitOf(directory(), 't 0 +0000')],
    ['no space before the address', () => commitOf(directory(), 't<t@t> 0 +0000')],
    ['two authors', () => commitOf(directory(), `${who}\nauthor ${who}`)],
    ['a NUL in its message', () => commitOf(directory(), who, who, '\n\na\0b\n')],
    ['a head without an end', () => commitOf(directory(), who, who, '')],
    [
      'a long line in .gitattributes',
      () => commitWith(entry('100644', '.gitattributes', literally('blob', `${'a'.repeat(5_000)} x\n`))),
    ],
    ['a link .gitmodules', () => commitWith(entry('120000', '.gitmodules', blob()))],
    [
      'a tree out of order',
      () => commitWith(...['c', 'a', 'b'].map((name) => entry('100644', name, blob()))),
    ],
    [
      'a directory sorted as a file',
      () => commitWith(entry('40000', 'a', directory()), entry('100644', 'a.b', blob())),
    ],
    [
      'a directory out of order',
      () => commitWith(entry('40000', 'z', directory()), entry('40000', 'd', directory())),
    ],
    ['a submodule of no commit', () => commitWith(entry('160000', 'module', '0'.repeat(40)))],
  ];
  it.each(odd)('is taken as `git clone` takes it: %s', async (what, commitOfRow) => {
    const commit = commitOfRow();
    cloneTo(`clone-${what.replaceAll(/\W/g, '-')}`, commit);
    const repository = await make(commit, inChunks(packOf(commit)));
    await checkTree(repository);
    const paths = (await readTree(repository)).map(({ path }) => path);
    const listed = git(['ls-tree', '-rz', '--name-only', commit]).split('\0').filter(Boolean);
    expect(paths).toEqual(listed.toSorted()); // the order of git's index
  });

  const dangerous: readonly [what: string, commit: () => string][] = [
    ['`..`', () => commitWith(entry('40000', '..', directory()))],
    ['`.`', () => commitWith(entry('40000', '.', directory()))],
    ['`.GIT`', () => commitWith(entry('40000', '.GIT', directory()))],
    ['a path', () => commitWith(entry('100644', '../b', blob()))],
    ['one name twice', () => commitWith(entry('100644', 'a', blob()), entry('100644', 'a', blob()))],
    [
      'one name twice, out of order',
      () => commitWith(...['b', 'a', 'b'].map((name) => entry('100644', name, blob()))),
    ],
    [
      'a file and a directory of one name, out of order',
      () =>
        commitWith(
          entry('40000', 'a', directory()),
          entry('100644', 'b', blob()),
          entry('100644', 'a', blob()),
        ),
    ],
    ['`..` out of order', () => commitWith(entry('100644', 'a', blob()), entry('40000', '..', directory()))],
    [
      'a file and a directory of one name',
      () => commitWith(entry('100644', 'a', blob()), entry('40000', 'a', directory())),
    ],
  ];
  it.each(dangerous)('is refused when a tree has %s, which `git clone` takes', async (what, commitOfRow) => {
    const commit = commitOfRow();
    cloneTo(`danger-${what.replaceAll(/\W/g, '-')}`, commit);
    const repository = await make(commit, inChunks(packOf(commit)));
    const refused = { code: 'repository_invalid', status: 400 };
    await expect(readTree(repository)).rejects.toMatchObject(refused);
    await expect(checkTree(repository)).rejects.toMatchObject(refused);
  });
});

describe('what a git leaves that was taken over by a pack', () => {
  /** Runs a script under the profile after index-pack, in the directory of packs; `$pack` is the pack. */
  const takenOver =
    (script: string): Spawn =>
    (request) => {
      const wrapped = `/usr/bin/git "$@" && cd /repository/objects/pack && pack=$(ls | grep 'pack$') && { ${script}; }`;
      return spawn({ ...request, program: '/bin/sh', args: ['-c', wrapped, 'sh', ...request.args] });
    };
  const attacked = (script: string) => make(second, inChunks(packOf(second)), true, takenOver(script));
  const secret = () => join(root, 'credential');
  beforeAll(() => writeFileSync(secret(), 'of the executor'));

  it('is accepted when it is what git always leaves', async () => {
    const repository = await attacked('true');
    const [, name = ''] = await packFiles(repository.packs);
    expect(readFileSync(join(repository.packs, name)).toString('latin1', 0, 4)).toBe('PACK');
  });

  it('is refused when the pack is a link to a file of the host, which an ordinary read would follow', async () => {
    await expect(attacked(`ln -sf ${secret()} "$pack"`)).rejects.toMatchObject({ code: 'output_refused' });
    const packs = join(made(), 'objects', 'pack');
    const [, pack = ''] = await packFiles(packs);
    expect(readFileSync(join(packs, pack), 'latin1')).toBe('of the executor');
  });

  it.each([
    ['a second name of a file', 'ln "$pack" second'],
    ['a directory', 'mkdir -m 700 directory'],
    ['a FIFO', 'mkfifo fifo'],
    ['a pack that is larger than any that is accepted', 'chmod u+w "$pack"; truncate -s 9G "$pack"'],
    ['thousands of files', 'for one in $(seq 2000); do : > $one; done'],
  ])('is refused when there is %s', async (_what, script) => {
    await expect(attacked(script)).rejects.toMatchObject({ code: 'output_refused' });
  });
});
