import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

/** What runs before npm's packages are there, as npm runs it. The programs that would change the machine are traps. */
const setup = resolve(import.meta.dirname, '../../setup.mjs');
const repository = resolve(import.meta.dirname, '../..');
const debianPackages = JSON.parse(
  readFileSync(join(repository, 'packages/fumehood/src/doctor/debian-packages.json'), 'utf8'),
) as { package: string; neededBy: string }[];
const neededBy = (...levels: string[]) =>
  debianPackages.filter((entry) => levels.includes(entry.neededBy)).map((entry) => entry.package);
const packages = neededBy('check', 'demo');

let root: string;
let programs: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'fumehood-setup-'));
  programs = join(root, 'bin');
  mkdirSync(programs);
  for (const name of ['apt-get', 'npm', 'sudo']) program(name, `touch '${join(root, 'sprung')}'; exit 1`);
  mkdirSync(join(root, 'repository'));
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

function run(
  args: readonly string[],
  nodeFlags: readonly string[] = [],
  path = `:${process.env.PATH}`,
  file = setup,
) {
  return spawnSync(process.execPath, [...nodeFlags, file, ...args], {
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
    ['an unknown argument', ['--frobnicate'], "Unknown option '--frobnicate'"],
    ['a stray word', ['here'], "Unexpected argument 'here'"],
    ['an option without its value', ['--repo'], "Option '--repo <value>' argument missing"],
    ['an option with an empty value', ['--commit='], '--commit needs a value'],
    ['a repository that is not there', ['--repo', '/nonexistent'], '/nonexistent is not a directory'],
  ])('%s is a mistake', (_what, args, message) => {
    expect(mistake(['demo', ...args])[0]).toContain(`fumehood: ${message}`);
  });

  it.each([[[]], [['frobnicate']], [['constructor']]])(
    'the command %j is a mistake: there are others',
    (args) => {
      expect(mistake(args).at(-1)).toBe('  It is one of: demo, test, check, bare, gate, night.');
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

it('npm packages that npm left out are missing, although npm reported success', () => {
  // A checkout whose node_modules has all that the lock file asks for but one package.
  const checkout = join(root, 'checkout');
  mkdirSync(join(checkout, 'packages/fumehood/src/doctor'), { recursive: true });
  for (const file of ['setup.mjs', 'packages/fumehood/src/doctor/debian-packages.json'])
    copyFileSync(join(repository, file), join(checkout, file));
  const packageOf = (version: string) => ({ version, os: ['linux'], cpu: ['x64'], optional: true });
  const lock = {
    packages: {
      '': { dependencies: { tool: '1.0.0' } },
      'node_modules/tool': { version: '1.0.0', optionalDependencies: { native: '1.0.0', foreign: '1.0.0' } },
      'node_modules/native': packageOf('1.0.0'),
      'node_modules/foreign': { ...packageOf('1.0.0'), cpu: ['arm64'] },
    },
  };
  writeFileSync(join(checkout, 'package-lock.json'), JSON.stringify(lock));
  const put = (name: string, version: string) => {
    mkdirSync(join(checkout, 'node_modules', name), { recursive: true });
    writeFileSync(join(checkout, 'node_modules', name, 'package.json'), JSON.stringify({ version }));
  };
  program(
    'dpkg-query',
    neededBy('check')
      .map((name) => `echo 'ii  ${name}'`)
      .join('\n'),
  );
  const told = () => run(['check'], [], undefined, join(checkout, 'setup.mjs')).stderr;
  put('tool', '1.0.0');
  expect(told()).toContain('npm packages are missing');
  put('native', '0.9.0');
  expect(told()).toContain('npm packages are missing');
  put('native', '1.0.0');
  // Everything is there now: the set-up goes on to start the pinned Node, which this checkout does not have.
  expect(told()).toContain('the pinned Node does not start');
});

describe('where nothing may be installed', () => {
  const demo = ['demo', '--repo', 'repository'];
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
    expect(mistake(['test'])[1]).toMatch(install(neededBy('check', 'demo', 'test')));
  });

  it('a package that was removed, and whose settings are still there, is missing', () => {
    const lines = packages.map((name) => `echo '${name === 'git' ? 'rc' : 'ii'}  ${name}'`);
    program('dpkg-query', lines.join('\n'));
    expect(mistake(demo)[1]).toMatch(install(['git']));
  });

  it('a system that is not made from Debian is told so', () => {
    rmSync(join(programs, 'dpkg-query'), { force: true });
    const onlyThese = '';
    expect(mistake(demo, [], onlyThese)[0]).toMatch(/^fumehood: this is not a Debian system/);
  });
});
