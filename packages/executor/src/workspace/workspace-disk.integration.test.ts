import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, lstatSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readdir, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { localSpawn, openFileCache, systemClock } from '@fumehood/base';
import { tarEnd, tarHeader, tarPadding } from '@fumehood/disk';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { diskMakerOf } from '../disk-maker/make-disk.ts';
import { bundledDiskMaker } from '../testing/disk-maker.ts';
import { FakeInstance } from '../testing/fake-instance.ts';
import { testJob } from '../testing/test-job.ts';
import { openHttp } from '../uplink/http.ts';
import { openJobClient } from '../uplink/job-client.ts';
import { type WorkspaceContents, workspaceDisk } from './workspace-disk.ts';

const identity = process.getuid?.() === 0 ? { uid: 1_900_000_002, gid: process.getgid?.() ?? 0 } : null;
const spawn = localSpawn(identity);
const lease = new AbortController().signal;
const job = testJob({ repositoryName: 'acme/plain' });

let root: string;
let instance: FakeInstance;
let maker: { node: string; script: string };
let environment: NodeJS.ProcessEnv;

/** Runs git as a user whose global configuration would run a program. */
function git(directory: string, args: string[], input?: string | Buffer): string {
  const all = ['-C', directory, '-c', 'user.name=t', '-c', 'user.email=t@t', ...args];
  return execFileSync('git', all, { env: environment, input, stdio: ['pipe', 'pipe', 'ignore'] })
    .toString('latin1')
    .trimEnd();
}

async function bare(name: string): Promise<string> {
  const directory = join(root, 'repositories', name);
  await mkdir(directory, { recursive: true });
  git(directory, ['init', '-q', '--bare']);
  return directory;
}

function makeWorkspace(
  repository: string,
  commit: string,
  onProgress = (_line: string) => {},
  more: Partial<WorkspaceContents> = {},
): Promise<string> {
  const client = openJobClient(openHttp(instance.url), { ...job, queue: 'runs' }, 'test', systemClock, lease);
  const source = {
    spawn,
    maker: diskMakerOf({ spawn, ...maker }, 1024),
    clock: systemClock,
    cache: openFileCache({ directories: [], maxBytes: 0, onTrouble() {} }).open(),
    instanceUrl: 'http://fake',
    disks: join(root, 'disks'),
    work: join(root, 'work'),
    blobs: root,
  };
  const nothing = { directory: '', sparse: [], files: [], archive: null };
  const contents = { commit: { repository, commit }, ...nothing, ...more };
  return workspaceDisk(source, client, contents, lease, onProgress);
}

/** Returns an archive with these executable files; what begins with a slash is the target of a link. */
function archiveOf(files: Readonly<Record<string, string>>): { tar: Buffer; digest: string } {
  const facts = { mode: 0o755, uid: 0, gid: 0, mtime: 0 };
  const members = Object.entries(files).flatMap(([path, text]) =>
    text.startsWith('/')
      ? [tarHeader({ path, type: 'symlink', size: 0, linkTarget: text, ...facts })]
      : [
          tarHeader({ path, type: 'file', size: text.length, ...facts }),
          Buffer.from(text),
          tarPadding(text.length),
        ],
  );
  const tar = Buffer.concat([...members, tarEnd()]);
  return { tar, digest: `sha256:${createHash('sha256').update(tar).digest('hex')}` };
}

function unsquash(file: string): string {
  const directory = join(root, `tree-${Math.random().toString(36).slice(2)}`);
  execFileSync('unsquashfs', ['-q', '-n', '-d', directory, join(root, 'disks', file)]);
  return directory;
}

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'fumehood-workspace-'));
  await chmod(root, 0o711);
  for (const name of ['disks', 'work', 'home', 'repositories', 'programs']) {
    await mkdir(join(root, name));
    await chmod(join(root, name), 0o711);
  }
  maker = await bundledDiskMaker(join(root, 'programs'));
  environment = { PATH: process.env.PATH, HOME: join(root, 'home'), LC_ALL: 'C.UTF-8' };
  instance = new FakeInstance();
  instance.repositories = join(root, 'repositories');
  await instance.start();
  instance.leased.set(job.id, job);
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await instance.stop();
  await rm(root, { recursive: true, force: true });
});
beforeEach(() => {
  instance.leased.set(job.id, job);
});

describe('a workspace', () => {
  const source = () => join(root, 'source');
  let commit: string;
  let disk: string;
  let tree: string;

  beforeAll(async () => {
    const touched = join(root, 'something-ran');
    const run = `touch ${touched}`;
    await mkdir(join(source(), 'deep', 'er'), { recursive: true });
    git(source(), ['init', '-q']);
    const files: Record<string, string | Buffer> = {
      '.gitattributes': [
        '*.filtered filter=evil diff=evil',
        'ignored export-ignore',
        'subst export-subst',
        '*.crlf text eol=crlf',
        '*.enc working-tree-encoding=UTF-16',
      ].join('\n'),
      'a.filtered': 'as it is\n',
      ignored: 'is here all the same\n',
      subst: '$Format:%H$\n',
      'dos.crlf': 'one\ntwo\n',
      'text.enc': Buffer.from('\ufeffhello\n', 'utf16le'),
      'deep/er/file': 'x'.repeat(100_000),
      empty: '',
      'byte-\u00e9 "name"\n': 'odd\n',
      [`${'long'.repeat(30)}.txt`]: 'long\n',
      binary: Buffer.from([0, 1, 2, 255, 13, 10]),
    };
    for (const [name, content] of Object.entries(files)) await writeFile(join(source(), name), content);
    await writeFile(join(source(), 'run.sh'), '#!/bin/sh\n', { mode: 0o755 });
    await symlink('../outside', join(source(), 'deep', 'link'));
    git(source(), ['add', '-A']);
    git(source(), ['commit', '-qm', 'first']);
    git(source(), ['update-index', '--add', '--cacheinfo', `160000,${'1'.repeat(40)},module`]);
    git(source(), ['commit', '-qm', 'second']);
    commit = git(source(), ['rev-parse', 'HEAD']);
    git(await bare('acme/plain'), ['fetch', '-q', source(), 'HEAD:refs/heads/main']);
    writeFileSync(
      join(root, 'home', '.gitconfig'),
      `[filter "evil"]\n smudge = ${run}; cat\n clean = ${run}; cat\n required = true\n[core]\n fsmonitor = ${run}\n hooksPath = ${root}\n`,
    );
    vi.stubEnv('HOME', join(root, 'home'));
    disk = await makeWorkspace('acme/plain', commit);
    expect(existsSync(touched)).toBe(false);
    tree = unsquash(disk);
    // A checkout proves that the configuration does run the program.
    git(source(), ['checkout', '-qf', 'HEAD~1']);
    writeFileSync(join(source(), 'a.filtered'), 'changed\n');
    git(source(), ['checkout', '-qf', 'HEAD~0', '--', 'a.filtered']);
    expect(existsSync(touched)).toBe(true);
  });

  it('has every file with the bytes of its blob, and with permissions for every user', () => {
    const rows = git(source(), ['ls-tree', '-rz', '--full-tree', commit]).split('\0').filter(Boolean);
    expect(rows.length).toBe(14);
    for (const row of rows) {
      const [, mode, object, name] = /^(\d+) \w+ (\w+)\t([^]*)$/.exec(row) as unknown as [
        string,
        string,
        string,
        string,
      ];
      const path = Buffer.concat([Buffer.from(`${tree}/`), Buffer.from(name, 'latin1')]);
      const is = lstatSync(path);
      if (mode === '160000') {
        expect(is.isDirectory()).toBe(true);
        continue;
      }
      const blob = execFileSync('git', ['-C', source(), 'cat-file', 'blob', object]);
      if (mode === '120000') expect(readlinkSync(path)).toBe(blob.toString());
      else {
        expect(readFileSync(path).equals(blob)).toBe(true);
        expect(is.mode & 0o777).toBe(mode === '100755' ? 0o777 : 0o666);
      }
    }
    expect(lstatSync(join(tree, 'deep')).mode & 0o777).toBe(0o777);
  });

  it('is clean and intact for git, which opens none of its files, and shows the change of a step', async () => {
    const plain = (args: string[]) =>
      execFileSync('git', ['-C', tree, '-c', 'safe.directory=*', ...args], {
        env: { PATH: process.env.PATH },
      }).toString();
    expect(plain(['status', '--porcelain'])).toBe('');
    expect(plain(['rev-parse', 'HEAD']).trim()).toBe(commit);
    expect(plain(['fsck', '--strict', '--full'])).toBe('');
    expect(plain(['log', '--format=%s'])).toBe('second\n');
    // Other bytes of the same size and time: git could know it only if it read the file.
    const file = join(tree, 'deep/er/file');
    writeFileSync(file, 'y'.repeat(100_000));
    await utimes(file, 1_000_000_000, 1_000_000_000);
    expect(plain(['status', '--porcelain'])).toBe('');
    writeFileSync(file, 'z');
    expect(plain(['status', '--porcelain'])).toBe(' M deep/er/file\n');
  });

  it('is made once, and the cached disk grants nothing', async () => {
    const lines: string[] = [];
    instance.requests.length = 0;
    expect(await makeWorkspace('acme/plain', commit, (line) => lines.push(line))).toBe(disk);
    expect(instance.requests).toEqual(['GET /.executors/git/acme/plain/info/refs']);
    expect(lines).toEqual(['the disk of this workspace is in the cache']);
    instance.leased.clear();
    await expect(makeWorkspace('acme/plain', commit)).rejects.toMatchObject({ code: 'lease_lost' });
  });

  it('of a missing commit or repository is refused', async () => {
    await expect(makeWorkspace('acme/plain', '2'.repeat(40))).rejects.toMatchObject({
      code: 'commit_missing',
    });
    await expect(makeWorkspace('acme/none', commit)).rejects.toMatchObject({ code: 'commit_missing' });
  });

  it('of an object that is not a commit is refused', async () => {
    const object = git(source(), ['rev-parse', `${commit}^{tree}`]);
    await expect(makeWorkspace('acme/plain', object)).rejects.toMatchObject({ code: 'repository_invalid' });
  });

  describe('with the commit in a directory, and files beside it', () => {
    const file = (path: string, content: string, mtime = 1_700_000_000) => ({
      path: Buffer.from(path).toString('latin1'),
      content: Buffer.from(content),
      mtime,
    });
    const files = [file('input.json', '{}'), file('workspace-files/d/größe.py', 'print()')];
    const make = (more: Partial<WorkspaceContents>) => makeWorkspace('acme/plain', commit, () => {}, more);

    it('has both in their places, and git sees only the commit', async () => {
      const made = unsquash(await make({ directory: 'sub/repository', files }));
      expect((await readdir(made)).sort()).toEqual(['input.json', 'sub', 'workspace-files']);
      expect(readFileSync(join(made, 'workspace-files/d/größe.py'), 'utf8')).toBe('print()');
      expect(lstatSync(join(made, 'workspace-files/d/größe.py')).mtimeMs).toBe(1_700_000_000_000);
      expect(lstatSync(join(made, 'input.json')).mode & 0o777).toBe(0o666);
      const status = execFileSync('git', ['-c', 'safe.directory=*', 'status', '--porcelain'], {
        cwd: join(made, 'sub/repository'),
        env: { PATH: process.env.PATH },
      });
      expect(status.toString()).toBe('');
    });

    it('is another disk when a byte, a path or a time differs', async () => {
      const names = await Promise.all([
        make({ files: [file('a', 'x')] }),
        make({ files: [file('a', 'y')] }),
        make({ files: [file('b', 'x')] }),
        make({ files: [file('a', 'x', 1_700_000_001)] }),
        make({ files: [file('a', 'x')], directory: 'd' }),
        make({ files: [file('a', 'x')], sparse: ['deep/'] }),
      ]);
      expect(new Set([...names, disk]).size).toBe(7);
      expect(await make({ files: [file('a', 'x')] })).toBe(names[0]);
    });

    it('has a part of the commit with a sparse checkout, and git does not miss the rest', async () => {
      const made = unsquash(await make({ sparse: ['deep/er/'] }));
      expect((await readdir(made)).sort()).toEqual(['.git', 'deep']);
      expect(await readdir(join(made, 'deep'))).toEqual(['er']);
      const plain = (...args: string[]) =>
        execFileSync('git', ['-C', made, '-c', 'safe.directory=*', ...args], {
          env: { PATH: process.env.PATH },
        }).toString();
      expect(plain('status', '--porcelain')).toBe('');
      writeFileSync(join(made, 'deep/er/file'), 'changed\n');
      plain('add', '--all');
      // The diff of a step, as batch changes make it, has only the step's change.
      expect(plain('diff', '--cached', '--name-status')).toBe('M\tdeep/er/file\n');
      expect(plain('fsck', '--strict')).toBe('');
      expect(plain('ls-files', '-t').match(/^H /gm)).toHaveLength(1);
    });

    it('may have no repository', async () => {
      instance.requests.length = 0;
      const made = unsquash(await make({ commit: null, files }));
      expect((await readdir(made)).sort()).toEqual(['input.json', 'workspace-files']);
      expect(instance.requests).toEqual([]);
    });

    it.each([
      ['a file of the commit', '', 'empty'],
      ['a directory of the commit', '', 'deep'],
      ['what is below a link of the commit', '', 'deep/link/x'],
      ["git's own directory", 'repository', 'repository/.git/config'],
      ['the directory of the commit', 'repository', 'repository'],
    ])('is refused when a file has the path of %s', async (_, directory, path) => {
      await expect(make({ directory, files: [file(path, 'x')] })).rejects.toMatchObject({
        code: 'job_refused',
      });
    });
  });

  it('may be an archive of the instance, which is asked for it also when the disk is cached', async () => {
    const { tar, digest } = archiveOf({ 'bin/run': 'bytes', 'no-link': '/etc/passwd' });
    instance.blobs.set(digest, tar);
    const make = () => makeWorkspace('', '', undefined, { commit: null, archive: digest });
    const file = await make();
    const made = unsquash(file);
    expect(readFileSync(join(made, 'bin/run'), 'utf8')).toBe('bytes');
    expect(lstatSync(join(made, 'bin/run')).mode & 0o7777).toBe(0o777);
    expect(readlinkSync(join(made, 'no-link'))).toBe('/etc/passwd');
    instance.requests.length = 0;
    expect(await make()).toBe(file);
    expect(instance.requests).toEqual([`HEAD /.executors/queue/runs/blob/${digest}`]);
    instance.blobs.clear();
    await expect(make()).rejects.toMatchObject({ code: 'image_not_found' });
  });

  it('of a hostile archive is refused, and nothing of it is written', async () => {
    const { tar, digest } = archiveOf({ 'a/../../outside': 'bytes' });
    instance.blobs.set(digest, tar);
    const before = await readdir(join(root, 'disks'));
    const making = makeWorkspace('', '', undefined, { commit: null, archive: digest });
    await expect(making).rejects.toMatchObject({ code: 'job_refused' });
    expect(await readdir(join(root, 'disks'))).toEqual(before);
  });

  it('leaves only disks behind', async () => {
    expect(await readdir(join(root, 'work'))).toEqual([]);
    const disks = await readdir(join(root, 'disks'));
    expect(disks).toContain(disk);
    expect(disks.filter((name) => !/^workspace-[0-9a-f]{32}\.sqfs$/.test(name))).toEqual([]);
  });
});

describe('a hostile repository', () => {
  const entry = (mode: string, name: string, object: string) =>
    Buffer.concat([Buffer.from(`${mode} ${name}\0`), Buffer.from(object, 'hex')]);

  async function commitOf(name: string, make: (directory: string, blob: string) => Buffer): Promise<string> {
    const directory = await bare(name);
    const write = (type: string, bytes: Buffer | string) =>
      git(directory, ['hash-object', '-t', type, '-w', '--stdin', '--literally'], bytes);
    const blob = write('blob', 'x');
    const top = write('tree', make(directory, blob));
    const made = git(directory, ['commit-tree', top, '-m', 'x']);
    git(directory, ['update-ref', 'refs/heads/main', made]);
    return made;
  }
  const inside = (directory: string, bytes: Buffer) =>
    git(directory, ['hash-object', '-t', 'tree', '-w', '--stdin', '--literally'], bytes);

  it.each<[string, (directory: string, blob: string) => Buffer]>([
    ['a path out of it', (d, b) => entry('40000', '..', inside(d, entry('100644', 'x', b)))],
    ["git's own directory", (d, b) => entry('40000', '.GIT', inside(d, entry('100644', 'config', b)))],
    ['a name with a slash', (_d, b) => entry('100644', 'a/../../b', b)],
    ['a name twice', (_d, b) => Buffer.concat([entry('100644', 'a', b), entry('100644', 'a', b)])],
    [
      'a file that is a directory',
      (d, b) =>
        Buffer.concat([entry('100644', 'a', b), entry('40000', 'a', inside(d, entry('100644', 'x', b)))]),
    ],
    ['an object that is missing', () => entry('100644', 'a', '3'.repeat(40))],
    [
      'too many levels',
      (d, b) => {
        let object = inside(d, entry('100644', 'x', b));
        for (let depth = 0; depth < 300; depth++) object = inside(d, entry('40000', 'd', object));
        return entry('40000', 'd', object);
      },
    ],
    ['a link without a target', (d) => entry('120000', 'a', git(d, ['hash-object', '-w', '--stdin'], ''))],
  ])('with %s is refused with an error code', async (what, make) => {
    const name = `hostile/${what.replaceAll(/\W/g, '-')}`;
    const commit = await commitOf(name, make);
    await expect(makeWorkspace(name, commit)).rejects.toMatchObject({
      code: what.includes('missing') ? 'commit_missing' : 'repository_invalid',
    });
    expect(await readdir(join(root, 'work'))).toEqual([]);
  });
});
