import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Receipt } from '@fumehood/protocol';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { build } from '../../images/scip-typescript/build.ts';
import { debianImage } from '../network/debian-image.ts';
import { Internet } from '../network/internet.ts';
import { addNpmPackage, addWheel, makeAptRepository, makeRepository } from '../network/packages.ts';
import { long } from '../long.ts';
import { runProgram, Stack } from '../stack.ts';

let stack: Stack;
let internet: Internet;
let image: string;
let commit: string;
/** A project with one dependency. */
let projectFiles: Readonly<Record<string, string>>;

beforeAll(async () => {
  stack = await Stack.make();
  const at = (path: string) => join(stack.state, 'internet', path);
  const entry = addNpmPackage(at('npm'), 'https://npm.test', 'greeting', {
    'package.json': JSON.stringify({
      ...{ name: 'greeting', version: '1.2.3', main: 'made.js', types: 'index.d.ts' },
      scripts: { postinstall: 'node make.js' },
    }),
    'index.d.ts': 'declare const greeting: string;\nexport = greeting;\n',
    'make.js': `require('fs').writeFileSync('made.js', "module.exports = 'made by a hook'")`,
  });
  addWheel(at('pypi'), 'greet', 'def main():\n    print("a console script")\n');
  makeAptRepository(at('deb'), 'greet-deb', '#!/bin/sh\necho "a program of apt"\n');
  commit = makeRepository(at('git/greetings.git'), { 'README.md': 'Hello\n' });
  internet = await Internet.start(stack.state, {
    'npm.test': { files: at('npm') },
    'pypi.test': { files: at('pypi') },
    'deb.test': { files: at('deb') },
    'git.test': { git: at('git') },
    'other.test': { git: at('git') },
  });
  const project = { name: 'project', version: '1.0.0', dependencies: { greeting: '1.2.3' } };
  const env = [
    ...['npm_config_registry=https://npm.test', 'npm_config_audit=false', 'NODE_EXTRA_CA_CERTS=/ca.pem'],
    ...['PIP_INDEX_URL=https://pypi.test/simple', 'PIP_CERT=/ca.pem', 'GIT_SSL_CAINFO=/ca.pem'],
  ];
  projectFiles = {
    'package.json': JSON.stringify(project),
    'package-lock.json': JSON.stringify({
      ...project,
      lockfileVersion: 3,
      packages: { '': project, 'node_modules/greeting': { ...entry, hasInstallScript: true } },
    }),
  };
  const file = await debianImage(stack.state, env, {
    'ca.pem': readFileSync(internet.authorityFile, 'utf8'),
    'etc/apt/sources.list': 'deb [trusted=yes] http://deb.test ./\n',
    ...Object.fromEntries(Object.entries(projectFiles).map(([path, text]) => [`project/${path}`, text])),
  });
  image = `docker-archive:${file}`;
  const settings = { nameServers: [internet.nameServer] };
  writeFileSync(join(stack.state, 'settings.json'), JSON.stringify(settings));
  const { code, stderr } = await onMachine(['up']);
  expect(code, stderr).toBe(0);
});
afterAll(async () => {
  await stack.stop();
  await internet.stop();
});

/** Runs the command line on the machine of the executor. */
function onMachine(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const command = join(import.meta.dirname, '../../packages/fumehood/bin/fumehood.mjs');
  return runProgram(internet.onMachine([process.execPath, command, ...args]), {
    env: { FUMEHOOD_STATE: stack.state, ...env },
  });
}

/** Runs a script in a VM under a policy. Returns its lines, and the receipts of the job. */
async function runScript(policy: string, script: string) {
  const { code, stdout, stderr } = await stack.fumehood([
    ...['run', '--accept', 'vm-emulated', '--memory', '1024', '--scratch', '512', '--network', policy],
    ...[image, '--', 'sh', '-euc', script],
  ]);
  expect(code, `${stdout}${stderr}${stack.logs()}`).toBe(0);
  const [id] =
    (await stack.fumehood(['jobs', 'list', '--limit', '1'])).stdout.split('\n')[1]?.split(' ') ?? [];
  const shown = await stack.fumehood(['jobs', 'network', String(id), '--json']);
  const { receipts } = JSON.parse(shown.stdout) as { receipts: Receipt[] };
  return { lines: stdout.trim().split('\n'), receipts };
}

/** Installs by each package manager, and runs what was installed. Their own output goes to stderr. */
const script = `
  git clone --quiet https://git.test/greetings.git /greetings
  git -C /greetings rev-parse HEAD
  apt-get -q update >&2
  apt-get -qy install greet-deb >&2
  greet-deb
  cd /project
  npm ci >&2
  node -p 'require("greeting")'
  python3 -m pip install --quiet --root-user-action=ignore greet >&2
  greet
  git ls-remote https://other.test/greetings.git HEAD 2>&1 || echo refused`;
const installed = () => [commit, 'a program of apt', 'made by a hook', 'a console script'];

/** What the step reached: the allowed connections of each host. */
function expectReached(receipts: readonly Receipt[], rule: (name: string, port: number) => string): void {
  for (const [name, port] of Object.entries({
    'git.test': 443,
    'deb.test': 80,
    'npm.test': 443,
    'pypi.test': 443,
  }))
    expect(receipts).toContainEqual(
      expect.objectContaining({ kind: 'connection', name, port, verdict: 'allowed', rule: rule(name, port) }),
    );
}

/** Under emulation, npm and pip take twenty times as long. */
const options = { timeout: 240_000 };

describe('a step with a network', () => {
  it(
    'installs by npm, pip, git and apt from the hosts that its policy names, and from no other',
    options,
    async () => {
      const policy = 'allow:npm.test:443,pypi.test:443,git.test:443,deb.test:80';
      const { lines, receipts } = await runScript(policy, script);
      expect(lines).toEqual([
        ...installed(),
        "fatal: unable to access 'https://other.test/greetings.git/': Could not resolve host: other.test",
        'refused',
      ]);
      expectReached(receipts, (name, port) => `allow ${name}:${port}`);
      const others = receipts.filter(({ verdict }) => verdict !== 'allowed').map(({ name }) => name);
      expect(new Set(others)).toEqual(new Set(['other.test']));
    },
  );

  it.runIf(long)('installs from any host of the internet under `public`', options, async () => {
    const { lines, receipts } = await runScript('public', script);
    expect(lines).toEqual([...installed(), `${commit}\tHEAD`]);
    expectReached(receipts, () => 'public');
    expect(receipts.filter(({ verdict }) => verdict !== 'allowed')).toEqual([]);
  });

  it.runIf(long)('is installed by the demo, whose index leads into the dependency', options, async () => {
    await build({ directory: join(stack.state, 'images/scip-typescript'), onProgress: () => {} });
    const path = join(stack.state, 'internet/project');
    makeRepository(path, {
      ...projectFiles,
      'src/main.ts': "import greeting = require('greeting');\nexport const text = greeting + '!';\n",
      'tsconfig.json': '{"compilerOptions": {"module": "commonjs"}, "include": ["src"]}',
    });
    const { code, stdout, stderr } = await onMachine(['demo', '--install', '--json', '--repo', path], {
      npm_config_registry: 'https://npm.test',
      NODE_EXTRA_CA_CERTS: internet.authorityFile,
    });
    expect(code, `${stderr}${stack.logs()}`).toBe(0);
    expect(JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '')).toMatchObject({
      installed: { packages: 1, registry: 'npm.test', refused: 0 },
      definition: { query: { path: 'src/main.ts' }, path: 'node_modules/greeting/index.d.ts', line: 1 },
    });
    expect(stderr).not.toContain('is not on the public internet');
  });
});
