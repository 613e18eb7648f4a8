import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { cached } from '../../packages/executor/src/testing/test-guest.ts';
import { debianImage } from '../network/debian-image.ts';
import { Internet } from '../network/internet.ts';
import { makeWheel, writeTree } from '../network/packages.ts';
import { runProgram, Stack } from '../stack.ts';

/** Real servers of packages, each of this version. */
const versions = { verdaccio: '6.10.4', pypiserver: '2.4.2' };
const ports = { npm: 4873, pypi: 8080 };

let stack: Stack;
let internet: Internet;
let image: string;
const peers: ChildProcess[] = [];

beforeAll(async () => {
  stack = await Stack.make();
  const at = (path: string) => join(stack.state, 'peers', path);
  internet = await Internet.start(stack.state, {
    'npm.test': { port: ports.npm },
    'pypi.test': { port: ports.pypi },
  });
  const verdaccio = await cached(`verdaccio-${versions.verdaccio}`, fetchVerdaccio);
  writeTree(at('verdaccio'), {
    'config.yaml': [
      `storage: ${at('verdaccio/storage')}`,
      `auth: { htpasswd: { file: ${at('verdaccio/users')} } }`,
      "packages: { '**': { access: $all, publish: $authenticated } }",
      'log: { type: stdout, level: error }',
    ].join('\n'),
  });
  startPeer(
    [
      process.execPath,
      join(verdaccio, 'node_modules/verdaccio/bin/verdaccio'),
      '-c',
      at('verdaccio/config.yaml'),
    ],
    { VERDACCIO_PUBLIC_URL: 'https://npm.test' },
  );
  mkdirSync(at('wheels'), { recursive: true });
  makeWheel(at('wheels'), 'greet', 'def main():\n    print("a console script")\n');
  const pypiserver = await cached(`pypiserver-${versions.pypiserver}`, fetchPypiserver);
  startPeer(
    [
      '/usr/bin/python3',
      '-m',
      'pypiserver',
      'run',
      '-i',
      '127.0.0.1',
      '-p',
      String(ports.pypi),
      at('wheels'),
    ],
    { PYTHONPATH: pypiserver },
  );
  for (const port of Object.values(ports)) await untilAnswers(port);
  publish(at('greeting'));
  const env = [
    ...['npm_config_registry=https://npm.test', 'npm_config_audit=false', 'NODE_EXTRA_CA_CERTS=/ca.pem'],
    ...['PIP_INDEX_URL=https://pypi.test/simple', 'PIP_CERT=/ca.pem'],
  ];
  const file = await debianImage(stack.state, env, {
    'ca.pem': readFileSync(internet.authorityFile, 'utf8'),
    'project/package.json': '{"name": "project", "version": "1.0.0"}',
  });
  image = `docker-archive:${file}`;
  const settings = { nameServers: [internet.nameServer] };
  writeFileSync(join(stack.state, 'settings.json'), JSON.stringify(settings));
  const { code, stderr } = await onMachine(['up']);
  expect(code, stderr).toBe(0);
});
afterAll(async () => {
  await stack.stop();
  for (const peer of peers) {
    peer.kill('SIGKILL');
    if (peer.signalCode === null) await once(peer, 'exit');
  }
  await internet.stop();
});

function startPeer(argv: readonly string[], env: Readonly<Record<string, string>>): void {
  const [program = '', ...args] = internet.besideServers(argv);
  peers.push(
    spawn(program, args, { stdio: ['ignore', 'ignore', 'inherit'], env: { PATH: process.env.PATH, ...env } }),
  );
}

/** Runs a module beside the servers, and returns what it prints. */
function evaluate(code: string): string {
  const [program = '', ...args] = internet.besideServers([
    process.execPath,
    '--input-type=module',
    '-e',
    code,
  ]);
  return execFileSync(program, args, { encoding: 'utf8' }).trim();
}

async function untilAnswers(port: number): Promise<void> {
  const ask = `console.log(await fetch('http://127.0.0.1:${port}/').then(({ status }) => status, () => 0))`;
  for (const giveUpAt = Date.now() + 60_000; evaluate(ask) === '0'; await delay(200))
    if (Date.now() > giveUpAt) throw new Error(`nothing answers on port ${port}`);
}

/** Publishes a package with a hook, as a user of the registry. */
function publish(directory: string): void {
  const user = { name: 'someone', password: 'something of a test', type: 'user' };
  const token = evaluate(`
    const url = 'http://127.0.0.1:${ports.npm}/-/user/org.couchdb.user:someone';
    const headers = { 'content-type': 'application/json' };
    console.log((await (await fetch(url, { method: 'PUT', headers, body: '${JSON.stringify(user)}' })).json()).token)`);
  writeTree(directory, {
    'package.json': JSON.stringify({
      ...{ name: 'greeting', version: '1.2.3', main: 'made.js' },
      scripts: { postinstall: 'node make.js' },
    }),
    'make.js': `require('fs').writeFileSync('made.js', "module.exports = 'made by a hook'")`,
    '.npmrc': `registry=http://127.0.0.1:${ports.npm}\n//127.0.0.1:${ports.npm}/:_authToken=${token}\n`,
  });
  const [program = '', ...args] = internet.besideServers(['npm', 'publish', '--silent']);
  execFileSync(program, args, { cwd: directory, stdio: ['ignore', 'ignore', 'inherit'] });
}

async function fetchVerdaccio(work: string): Promise<string> {
  const dependencies = { verdaccio: versions.verdaccio };
  // Its own choice of this package does not resolve.
  const manifest = { name: 'peer', private: true, dependencies, overrides: { 'node-fetch': '2.7.0' } };
  writeTree(join(work, 'verdaccio'), { 'package.json': JSON.stringify(manifest) });
  const flags = ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--silent'];
  execFileSync('npm', flags, { cwd: join(work, 'verdaccio'), stdio: 'pipe' });
  return join(work, 'verdaccio');
}

async function fetchPypiserver(work: string): Promise<string> {
  const target = join(work, 'pypiserver');
  const pip = ['-m', 'pip', 'install', '--quiet', '--target', target, `pypiserver==${versions.pypiserver}`];
  execFileSync('python3', pip, { stdio: 'pipe' });
  return target;
}

/** Runs the command line on the machine of the executor. */
function onMachine(args: readonly string[]) {
  const command = join(import.meta.dirname, '../../packages/fumehood/bin/fumehood.mjs');
  return runProgram(internet.onMachine([process.execPath, command, ...args]), {
    env: { FUMEHOOD_STATE: stack.state },
  });
}

it('a step installs from verdaccio and from pypiserver', { timeout: 300_000 }, async () => {
  const script = `cd /project
    npm install greeting >&2
    rm -rf node_modules
    npm ci >&2
    node -p 'require("greeting")'
    python3 -m pip install --quiet --root-user-action=ignore greet >&2
    greet`;
  const { code, stdout, stderr } = await onMachine([
    ...['run', '--accept', 'vm-emulated', '--memory', '1024', '--scratch', '512'],
    ...['--network', 'allow:npm.test:443,pypi.test:443', image, '--', 'sh', '-euc', script],
  ]);
  expect(code, `${stderr}${stack.logs()}`).toBe(0);
  expect(stdout.trim().split('\n')).toEqual(['made by a hook', 'a console script']);
});
