import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

/** What runs before npm's packages are there, as npm runs it. The programs that would change the machine are traps. */
const setup = resolve(import.meta.dirname, '../../setup.mjs');
const packages = [
  'qemu-system-x86',
  'bubblewrap',
  'squashfs-tools',
  'e2fsprogs',
  'git',
  'skopeo',
  'ca-certificates',
  'gcc',
  'libc6-dev',
  'lz4',
  'libatomic1',
];

let root: string;
let programs: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'fumehood-setup-'));
  programs = join(root, 'bin');
  mkdirSync(programs);
  for (const name of ['apt-get', 'npm', 'sudo']) program(name, `touch '${join(root, 'sprung')}'; exit 1`);
  const git = (...args: string[]) =>
    execFileSync('git', [
      '-C',
      join(root, 'repository'),
      '-c',
      'user.name=t',
      '-c',
      'user.email=t@t',
      ...args,
    ]);
  mkdirSync(join(root, 'repository/below'), { recursive: true });
  writeFileSync(join(root, 'repository/below/file'), 'x');
  git('init', '-q');
  git('add', '-A');
  git('commit', '-qm', 'first');
});
afterAll(() => rmSync(root, { recursive: true, force: true }));
afterEach(() => {
  expect(existsSync(join(root, 'sprung'))).toBe(false);
});

/** A program that is found before the system's. */
function program(name: string, script: string): void {
  writeFileSync(join(programs, name), `#!/bin/sh\n${script}\n`);
  chmodSync(join(programs, name), 0o755);
}

function run(args: readonly string[], nodeFlags: readonly string[] = [], path = `:${process.env.PATH}`) {
  return spawnSync(process.execPath, [...nodeFlags, setup, ...args], {
    encoding: 'utf8',
    cwd: root,
    env: { PATH: `${programs}${path}`, HOME: root, FUMEHOOD_INSTALL: 'never' },
    timeout: 20_000, // far more than it takes, and far less than any set-up
  });
}

/** A mistake is told in a line that says what is wrong, with what to do below it. Returns the lines. */
function mistake(...facts: Parameters<typeof run>): string[] {
  const { status, stdout, stderr } = run(...facts);
  expect(stderr).toMatch(/^fumehood: [^\n]+\n {2}\S/);
  expect(stderr).not.toMatch(/^ +at /m);
  expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
  return stderr.trimEnd().split('\n');
}

describe('before any set-up', () => {
  // Were it asked, everything would be missing, and that would be the answer.
  beforeAll(() => program('dpkg-query', 'true'));

  it('the demo says how it is used', () => {
    for (const flag of ['--help', '-h']) {
      const { status, stdout } = run(['demo', flag]);
      expect(status).toBe(0);
      expect(stdout).toMatch(/^npm run demo -- \[--repo PATH\]/);
    }
  });

  it.each([
    ['an unknown argument', ['--frobnicate'], 'the demo has no argument --frobnicate'],
    ['a stray word', ['here'], 'the demo has no argument here'],
    ['an option without its value', ['--repo'], '--repo needs a value'],
    ['an option with an empty value', ['--commit='], '--commit needs a value'],
    ['a repository that is not there', ['--repo', '/nonexistent'], '/nonexistent is no directory'],
    ['a directory that is no repository', ['--repo=/'], '/ is not a git repository'],
  ])('%s is a mistake', (_what, args, told) => {
    expect(mistake(['demo', ...args])[0]).toBe(`fumehood: ${told}`);
  });

  it.each([
    ['a commit that is not there', ['--commit', 'nowhere'], 'the repository has no commit nowhere'],
    ['a commit that looks like a flag', ['--commit', '--all'], 'the repository has no commit --all'],
    ['a directory that is not in the commit', ['--root', 'nowhere'], 'the commit has no directory nowhere'],
    ['a file for a directory', ['--root', 'below/file'], 'the commit has no directory below/file'],
  ])('%s is a mistake', (_what, args, told) => {
    expect(mistake(['demo', '--repo', 'repository', ...args])[0]).toBe(`fumehood: ${told}`);
  });

  it.each([[[]], [['frobnicate']], [['constructor']]])(
    'the command %j is a mistake: there are others',
    (args) => {
      expect(mistake(args).at(-1)).toBe('  It is one of: demo, test, check.');
    },
  );

  it.each([
    ['arch', 'arm64', 'linux on arm64'],
    ['platform', 'darwin', 'darwin on x64'],
  ])('another %s is refused, whatever the command', (property, value, told) => {
    const pretend = `Object.defineProperty(process, '${property}', { value: '${value}' })`;
    const flags = [`--import=data:text/javascript,${encodeURIComponent(pretend)}`];
    for (const command of ['demo', 'test', 'check'])
      expect(mistake([command], flags)[0]).toBe(
        `fumehood: Fumehood runs on Linux on x86-64; this is ${told}.`,
      );
  });
});

describe('where nothing may be installed', () => {
  const demo = ['demo', '--repo', 'repository', '--root', 'below'];
  const has = (names: readonly string[]) =>
    program('dpkg-query', names.map((name) => `echo 'ii  ${name}'`).join('\n') || 'true');
  /** On a machine whose package lists are gone they are fetched first. */
  const install = (names: readonly string[]) =>
    new RegExp(`^ {2}(apt-get update && )?apt-get install -y --no-install-recommends ${names.join(' ')}$`);

  it.each(packages)('the line that installs %s is told', (missing) => {
    has(packages.filter((name) => name !== missing));
    const [what, line] = mistake(demo);
    expect(what).toBe('fumehood: Debian packages are missing');
    expect(line).toMatch(install([missing]));
  });

  it('the line installs everything that is missing at once', () => {
    has([]);
    expect(mistake(demo)[1]).toMatch(install(packages));
    expect(mistake(['test'])[1]).toMatch(install([...packages, 'crun']));
  });

  it('a package that was removed, and whose settings are still there, is missing', () => {
    const lines = packages.map((name) => `echo '${name === 'git' ? 'rc' : 'ii'}  ${name}'`);
    program('dpkg-query', lines.join('\n'));
    expect(mistake(demo)[1]).toMatch(install(['git']));
  });

  it('a system that is not made from Debian is told so', () => {
    rmSync(join(programs, 'dpkg-query'), { force: true });
    const onlyThese = '';
    expect(mistake(demo, [], onlyThese)[0]).toMatch(/^fumehood: this is no Debian system/);
  });
});
