import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { openRepository } from './repository.ts';

let root: string;
let path: string;
let first: string;
let second: string;

const environment = {
  PATH: process.env.PATH,
  HOME: '/tmp',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_CONFIG_GLOBAL: '/dev/null',
};
function git(args: readonly string[], cwd = path): string {
  const all = ['-c', 'user.name=t', '-c', 'user.email=t@t', '-c', 'protocol.file.allow=always', ...args];
  return execFileSync('git', all, { cwd, env: environment, encoding: 'utf8', stdio: 'pipe' }).trim();
}
function commit(text: string, cwd = path): string {
  mkdirSync(join(cwd, 'a/b'), { recursive: true });
  writeFileSync(join(cwd, 'a/b/file'), text);
  git(['add', '-A'], cwd);
  git(['commit', '-qm', text], cwd);
  return git(['rev-parse', 'HEAD'], cwd);
}
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'fumehood-odd-'));
  chmodSync(root, 0o755);
  path = join(root, 'repository');
  mkdirSync(path);
  git(['init', '-q', '-b', 'main']);
  first = commit('first');
  second = commit('second');
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(root, { recursive: true });
});

/** Opens a repository, and checks that git elsewhere gets the whole commit out of its pack. Returns the text of its file. */
async function readAll(where = path, revision = 'HEAD'): Promise<{ commit: string; text: string }> {
  const opened = await openRepository(where, revision, '');
  const copy = join(root, 'copy');
  git(['init', '-q', '--bare', copy], root);
  writeFileSync(join(copy, 'shallow'), `${opened.commit}\n`);
  execFileSync('git', ['index-pack', '--stdin', '--strict'], {
    cwd: copy,
    env: environment,
    input: await buffer(opened.pack()),
    stdio: 'pipe',
  });
  const text = git(['show', `${opened.commit}:a/b/file`], copy);
  expect(String(await opened.file('a/b/file'))).toBe(text);
  return { commit: opened.commit, text };
}
const refusal = (reason: string | RegExp, remedy: string) => ({
  code: 'repository_unreadable',
  message: expect.stringMatching(reason) as string,
  remedy: expect.stringContaining(remedy) as string,
});
const opening = (revision = 'HEAD', directory = '') => openRepository(path, revision, directory);
const removeObject = (object: string) =>
  rmSync(join(path, '.git/objects', object.slice(0, 2), object.slice(2)));

describe('a repository is read', () => {
  const layouts: readonly [what: string, make: () => string][] = [
    ['by its git directory', () => join(path, '.git')],
    ['through a symbolic link', () => (symlinkSync(path, join(root, 'link')), join(root, 'link'))],
    [
      'whose git directory is a symbolic link',
      () => {
        renameSync(join(path, '.git'), join(root, 'elsewhere'));
        symlinkSync(join(root, 'elsewhere'), join(path, '.git'));
        return path;
      },
    ],
    ['that is bare', () => (git(['clone', '-q', '--bare', path, 'bare'], root), join(root, 'bare'))],
    ['that is a worktree', () => (git(['worktree', 'add', '-q', '../tree', '-b', 'x']), join(root, 'tree'))],
    [
      'that is a submodule',
      () => {
        git(['init', '-q', 'super'], root);
        git(['submodule', '--quiet', 'add', path, 'module'], join(root, 'super'));
        return join(root, 'super/module');
      },
    ],
    [
      'whose objects lie elsewhere',
      () => {
        renameSync(join(path, '.git/objects'), join(root, 'objects'));
        symlinkSync('../../objects', join(path, '.git/objects'));
        return path;
      },
    ],
    ['that borrows objects', () => (git(['clone', '-qs', path, 'shared'], root), join(root, 'shared'))],
    [
      'that is shallow',
      () => (git(['clone', '-q', '--depth=1', `file://${path}`, 'shallow'], root), join(root, 'shallow')),
    ],
    [
      'with a path in the home directory in its configuration',
      () => (git(['config', 'include.path', '~/x']), git(['config', 'core.excludesFile', '~/y']), path),
    ],
    ['with packed references', () => (git(['pack-refs', '--all']), git(['gc', '-q']), path)],
  ];
  it.each(layouts)('%s', async (_what, make) => {
    expect(await readAll(make())).toEqual({ commit: second, text: 'second' });
  });

  it('as it was committed, whatever replaces its objects', async () => {
    writeFileSync(join(path, '.git/info/grafts'), `${second}\n`);
    git(['replace', second, first]);
    expect(git(['show', 'HEAD:a/b/file'])).toBe('first'); // git shows the replacement
    expect(await readAll()).toEqual({ commit: second, text: 'second' });
  });

  it('whatever the variables of the caller name', async () => {
    const other = join(root, 'other');
    git(['init', '-q', other], root);
    commit('other', other);
    const variables = {
      GIT_DIR: join(other, '.git'),
      GIT_WORK_TREE: other,
      GIT_COMMON_DIR: join(other, '.git'),
      GIT_OBJECT_DIRECTORY: join(other, '.git/objects'),
      GIT_INDEX_FILE: '/nowhere',
      GIT_NAMESPACE: 'x',
      GIT_CEILING_DIRECTORIES: root,
      GIT_CONFIG_PARAMETERS: "'core.bare=maybe'",
    };
    for (const [name, value] of Object.entries(variables)) vi.stubEnv(name, value);
    expect(await readAll()).toEqual({ commit: second, text: 'second' });
  });
});

describe('a directory below the top', () => {
  const opened = async (where: string, directory: string) =>
    (await openRepository(where, 'main', directory)).root;

  it('is the root, or where the root starts', async () => {
    expect(await opened(path, '')).toBe('');
    expect(await opened(path, 'a/b')).toBe('a/b');
    expect(await opened(join(path, 'a'), '')).toBe('a');
    expect(await opened(join(path, 'a'), 'b')).toBe('a/b');
    expect(await opened(join(path, '.git'), 'a/')).toBe('a');
    expect((await openRepository(join(path, 'a/b'), 'main', '')).name).toBe('local/repository');
  });

  it('is refused when the commit does not have it', async () => {
    mkdirSync(join(path, 'new'));
    await expect(openRepository(join(path, 'new'), 'main', '')).rejects.toMatchObject(
      refusal('has no directory new', '--root'),
    );
  });
});

describe('a symbolic link of the commit', () => {
  beforeEach(() => {
    const links = {
      dir: 'a',
      file: 'dir/b/file',
      up: 'a/../file',
      out: '/etc/passwd',
      dangling: 'no',
      loop: 'loop',
    };
    for (const [name, target] of Object.entries(links)) symlinkSync(target, join(path, name));
    commit('linked');
  });

  it('is followed inside the commit', async () => {
    const opened = await opening();
    for (const name of ['dir/b/file', 'file', 'up']) expect(String(await opened.file(name))).toBe('linked');
    expect(await opened.has('dir/b')).toBe(true);
  });

  it('leads nowhere else', async () => {
    const opened = await opening();
    for (const name of ['out', 'dangling', 'loop', 'dir/none', 'a\nb']) {
      expect(await opened.has(name), name).toBe(false);
      await expect(opened.file(name)).rejects.toMatchObject({ code: 'repository_unreadable' });
    }
  });
});

describe('a repository is refused with the reason of git', () => {
  it.runIf(process.getuid?.() === 0)('when a part of it belongs to another user', async () => {
    chownSync(join(path, '.git'), 1234, 1234);
    await expect(opening()).rejects.toMatchObject(
      refusal(/dubious ownership.*\.git belongs to uid 1234.*as uid 0/, 'cp -r'),
    );
  });

  it.runIf(process.getuid?.() === 0)('when its owner cannot reach it', async () => {
    execFileSync('chown', ['-R', '1234:1234', path]);
    chmodSync(root, 0o700);
    await expect(opening()).rejects.toMatchObject(refusal(/Permission denied/, 'traverse'));
  });

  it.each([
    ['does not exist', 'gitdir: ../gone\n', /not a git repository: .*gone$/],
    ['is none', 'gitdir: /\n', /not a git repository: \/$/],
    ['is not named', 'nonsense', /invalid gitfile format: .*\.git$/],
  ])('when its git directory %s', async (_what, text, reason) => {
    rmSync(join(path, '.git'), { recursive: true });
    writeFileSync(join(path, '.git'), text);
    await expect(opening()).rejects.toMatchObject(refusal(reason, 'git worktree repair'));
  });

  it('when it has reftables', async () => {
    git(['config', 'core.repositoryformatversion', '1']);
    git(['config', 'extensions.refstorage', 'reftable']);
    await expect(opening()).rejects.toMatchObject(
      refusal(/unknown repository extension found: refstorage$/, 'refs migrate'),
    );
  });

  it('when its index of several packs is broken', async () => {
    git(['repack', '-adq']);
    writeFileSync(join(path, '.git/objects/pack/multi-pack-index'), 'x'.repeat(2_000));
    await expect(opening()).rejects.toMatchObject(
      refusal('multi-pack-index signature', 'Remove the file `multi-pack-index`'),
    );
  });

  it('when its objects are named by SHA-256', async () => {
    rmSync(path, { recursive: true });
    git(['init', '-q', '--object-format=sha256', path], root);
    commit('named by SHA-256');
    await expect(opening()).rejects.toMatchObject(refusal('object format is sha256', 'sha1'));
  });

  it('when its configuration is broken', async () => {
    appendFileSync(join(path, '.git/config'), '[core');
    await expect(opening()).rejects.toMatchObject(refusal(/bad config line \d+/, 'git -C'));
  });

  it.each(['HEAD', 'HEAD^{tree}', 'HEAD:a', 'HEAD:a/b/file'])('when %s is missing', async (what) => {
    const object = git(['rev-parse', what]);
    removeObject(object);
    await expect(opening()).rejects.toMatchObject(refusal(object, 'Fetch the object again'));
    await expect(opening('HEAD', 'a')).rejects.toMatchObject(refusal(object, 'Fetch the object again'));
  });

  it('when the index of a pack is damaged', async () => {
    git(['repack', '-adq']);
    const [index] = readdirSync(join(path, '.git/objects/pack')).filter((name) => name.endsWith('.idx'));
    chmodSync(join(path, '.git/objects/pack', String(index)), 0o644);
    writeFileSync(join(path, '.git/objects/pack', String(index)), 'x'.repeat(2_000));
    await expect(opening()).rejects.toMatchObject(
      refusal(`it lacks the object ${second}, which HEAD names: .*${index}`, 'another clone'),
    );
  });

  it('when an object is damaged, at the end of the pack', async () => {
    const object = git(['rev-parse', 'HEAD:a/b/file']);
    const file = join(path, '.git/objects', object.slice(0, 2), object.slice(2));
    chmodSync(file, 0o644);
    writeFileSync(file, 'x');
    const read = opening().then((opened) => buffer(opened.pack()));
    await expect(read).rejects.toMatchObject(refusal(`${object}.*corrupt`, 'fsck'));
  });
});
