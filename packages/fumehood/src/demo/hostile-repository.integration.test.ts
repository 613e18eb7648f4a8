import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { localSpawn } from '@fumehood/base';
import { gitEnvironment } from '@fumehood/git';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { findGitDirectory, type GitDirectory } from './git-directory.ts';
import { gitIn } from './local-git.ts';
import { openRepository } from './repository.ts';

let root: string;
/** A repository that somebody else wrote: its configuration names a program wherever git knows one. */
let hostile: string;
/** What the program writes: the name of the setting that ran it. */
const ran = () => (existsSync(join(root, 'ran')) ? readFileSync(join(root, 'ran'), 'utf8') : '');

const plain = { PATH: process.env.PATH, GIT_CONFIG_NOSYSTEM: '1', GIT_CONFIG_GLOBAL: '/dev/null' };
const user = ['-c', 'user.name=t', '-c', 'user.email=t@t'];
function git(args: readonly string[], cwd = hostile): string {
  return execFileSync('git', [...user, ...args], { cwd, env: plain, encoding: 'utf8', stdio: 'pipe' }).trim();
}
/** Runs git on the hostile repository as people do. Whether it succeeds does not matter. */
function anyhow(args: readonly string[], env: object = plain, input = ''): void {
  spawnSync('git', [...user, ...args], { cwd: hostile, env: { ...env }, input });
}

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'fumehood-hostile-'));
  chmodSync(root, 0o777);
  hostile = join(root, 'hostile');
  mkdirSync(hostile);
  writeFileSync(join(root, 'program'), `#!/bin/sh\necho "$1" >> ${root}/ran\n`, { mode: 0o755 });
  git(['init', '-q', '-b', 'main']);
  for (const text of ['one', 'two']) {
    writeFileSync(join(hostile, 'file'), text);
    writeFileSync(join(hostile, '.gitattributes'), '* filter=evil diff=evil\n');
    git(['add', '-A']);
    git(['commit', '-qm', text]);
  }
});
afterEach(() => rmSync(root, { recursive: true }));

const program = (name: string) => `${join(root, 'program')} ${name} #`;
/** Makes the configuration name a program in every way that git knows. */
function configure(): void {
  const config = {
    'alias.aliased': `!${program('aliased')}`,
    'core.editor': program('editor'),
    'core.fsmonitor': program('fsmonitor'),
    'core.gitProxy': join(root, 'program'),
    'core.hooksPath': join(root, 'hooks'),
    'core.sshCommand': program('ssh'),
    'credential.helper': `!${program('credential')}`,
    'diff.evil.textconv': program('textconv'),
    'filter.evil.clean': program('clean'),
    'filter.evil.smudge': program('smudge'),
    'gpg.program': join(root, 'program'),
    'include.path': join(root, 'included'),
    'protocol.ext.allow': 'always',
  };
  for (const [name, value] of Object.entries(config)) git(['config', name, value]);
  mkdirSync(join(root, 'hooks'));
  writeFileSync(join(root, 'hooks/post-checkout'), `#!/bin/sh\n${program('hook')}\n`, { mode: 0o755 });
  writeFileSync(join(root, 'included'), `[alias]\n\tincluded = "!${program('included')}"\n`);
}
/** What the program writes when git runs it, and a command that makes git run it. */
const commands: readonly [written: string, ...command: string[]][] = [
  ['aliased', 'aliased'],
  ['included', 'included'],
  ['fsmonitor', 'status'],
  ['clean', 'hash-object', '--path=file', '--stdin'],
  ['smudge', 'cat-file', '--filters', 'HEAD:file'],
  ['textconv', 'show'],
  ['hook', 'checkout', '-fq', 'HEAD~1'],
  ['credential', 'credential', 'fill'],
  ['ssh', 'fetch', 'ssh://nowhere/x'],
  ['proxied', 'fetch', 'git://proxied/x'],
  ['ext', 'fetch', 'ext::PROGRAM ext'],
  ['editor', 'commit', '--amend'],
  ['--status-fd', 'commit', '-S', '-m', 'signed', '--allow-empty'],
];

/** Replaces the repository by a partial clone of itself, which knows a program that would fetch the files that it lacks. */
function makePartial(): void {
  git(['config', 'uploadpack.allowFilter', 'true']);
  renameSync(hostile, join(root, 'whole'));
  git(['clone', '-q', '--no-checkout', '--filter=blob:none', `file://${root}/whole`, hostile], root);
  git(['config', 'remote.origin.uploadpack', program('uploadpack')]);
}
/** Opens and reads the hostile repository with everything that the CLI does. */
async function readAll(): Promise<void> {
  const opened = await openRepository(hostile, 'main', '');
  expect(await opened.has('file')).toBe(true);
  expect(String(await opened.file('file'))).toBe('two');
  expect((await buffer(opened.pack())).subarray(0, 4).toString()).toBe('PACK');
}

it('no program in the configuration of a repository runs when the CLI reads the repository', async () => {
  configure();
  await readAll();
  expect(ran()).toBe('');
  // Each of them does run when people use git.
  for (const [written, ...command] of commands) {
    anyhow(
      command.map((word) => word.replace('PROGRAM', join(root, 'program'))),
      plain,
      'url=https://nowhere\n\n',
    );
    expect(ran(), written).toContain(written);
  }
});

it('a directory that a repository names is seen by its git only if it is one of git', () => {
  mkdirSync(join(root, 'other/pack'), { recursive: true });
  const alternates = ['/', root, '/usr', join(root, 'other'), join(root, 'none')];
  writeFileSync(join(hostile, '.git/objects/info/alternates'), alternates.join('\n'));
  const own = join(hostile, '.git');
  expect(findGitDirectory(hostile)?.directories).toEqual([own, join(own, 'objects'), join(root, 'other')]);
  rmSync(join(hostile, '.git/objects'), { recursive: true });
  symlinkSync('/', join(hostile, '.git/objects'));
  expect(findGitDirectory(hostile)?.directories).toEqual([own]);
});

describe('a partial clone', () => {
  const packObjects = ['pack-objects', '--revs', '--stdout', '--quiet'];
  const located = () => findGitDirectory(hostile) as GitDirectory;
  beforeEach(makePartial);

  it('runs nothing to fetch what it lacks, and is refused with the object', async () => {
    const lacking = git(['rev-parse', 'HEAD:.gitattributes']);
    await expect(openRepository(hostile, 'main', '')).rejects.toMatchObject({
      code: 'repository_unreadable',
      message: expect.stringContaining(`could not fetch ${lacking} from promisor remote`) as string,
      remedy: expect.stringContaining('partial clone') as string,
    });
    expect(ran()).toBe('');
  });

  it('runs its program with the environment of users, so the test above can fail', () => {
    anyhow(packObjects, plain, 'HEAD\n');
    expect(ran()).toContain('uploadpack');
  });

  it('runs nothing with the environment of every git alone', () => {
    anyhow(packObjects, { PATH: process.env.PATH, ...gitEnvironment }, 'HEAD\n');
    expect(ran()).toBe('');
  });

  it.each(['GIT_NO_LAZY_FETCH', 'GIT_ALLOW_PROTOCOL'])('runs nothing without %s alone', (name) => {
    const others = Object.fromEntries(Object.entries(gitEnvironment).filter(([one]) => one !== name));
    anyhow(packObjects, { PATH: process.env.PATH, ...others }, 'HEAD\n');
    expect(ran()).toBe('');
  });

  it('reaches nothing of this host under the profile alone', async () => {
    git(['config', 'remote.origin.uploadpack', `${program('uploadpack')}\necho inside >&2`]);
    const unprotected = gitIn(located(), (request) => localSpawn(null)({ ...request, env: plainInside }));
    const { stderr } = await unprotected.run(packObjects, 'HEAD\n');
    expect(stderr).toContain('inside'); // it ran there
    expect(ran()).toBe('');
  });
});
const plainInside = { GIT_CONFIG_NOSYSTEM: '1', GIT_CONFIG_GLOBAL: '/dev/null' };
