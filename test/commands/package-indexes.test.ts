import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Dependencies, Indexers } from '@fumehood/protocol';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Internet } from '../network/internet.ts';
import { makeRepository, mirrorNpmPackage, writeTree } from '../network/packages.ts';
import { runProgram, Stack } from '../stack.ts';

let stack: Stack;
let internet: Internet;

beforeAll(async () => {
  stack = await Stack.make();
  const at = (path: string) => join(stack.state, 'internet', path);
  mirrorNpmPackage(at('npm'), 'https://npm.test', 'escape-string-regexp', ['5.0.0']);
  addRealWheel(at('pypi'), 'iniconfig', '2.0.0');
  internet = await Internet.start(stack.state, {
    'npm.test': { files: at('npm') },
    'pypi.test': { files: at('pypi') },
  });
  const settings = { nameServers: [internet.nameServer], brokerCaFile: internet.authorityFile };
  writeFileSync(join(stack.state, 'settings.json'), JSON.stringify(settings));
  const command = join(import.meta.dirname, '../../packages/fumehood/bin/fumehood.mjs');
  const { code, stderr } = await runProgram(internet.onMachine([process.execPath, command, 'up']), {
    env: { FUMEHOOD_STATE: stack.state },
  });
  expect(code, stderr).toBe(0);
});
afterAll(async () => {
  await stack.stop();
  await internet.stop();
});

/** Adds a wheel of Python's public index to an index of files. */
function addRealWheel(index: string, name: string, version: string): void {
  const work = join(stack.state, 'pip-download');
  const download = ['-m', 'pip', 'download', '-q', '--no-deps', '-d', work, `${name}==${version}`];
  execFileSync('/usr/bin/python3', download, { stdio: 'pipe' });
  const [wheel = ''] = readdirSync(work);
  const directory = join(index, 'simple', name);
  mkdirSync(directory, { recursive: true });
  copyFileSync(join(work, wheel), join(directory, wheel));
  const hash = createHash('sha256')
    .update(readFileSync(join(work, wheel)))
    .digest('hex');
  writeTree(directory, { 'index.html': `<!DOCTYPE html><a href="${wheel}#sha256=${hash}">${wheel}</a>` });
}

async function fumehood(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await stack.fumehood(args);
  expect(code, `${args.join(' ')}: ${stdout}${stderr}${stack.logs()}`).toBe(0);
  return stdout;
}

it('definitions lead into packages of npm and PyPI, each of which was indexed once in a VM of its own', {
  timeout: 900_000,
}, async () => {
  await fumehood('broker', 'add', 'npm', 'https://npm.test/', '--kind', 'npm');
  await fumehood('broker', 'add', 'pypi', 'https://pypi.test/simple/', '--kind', 'pypi');
  await fumehood('indexers', 'set', 'typescript', 'scip-typescript');
  await fumehood('indexers', 'set', 'python', 'scip-python');
  const broker = ['--network', 'none', '--broker', 'npm', '--broker', 'pypi', '--accept', 'vm-emulated'];
  await fumehood('index', 'dependencies', 'on', ...broker);

  const app = join(stack.state, 'app');
  makeRepository(app, {
    'package.json': JSON.stringify({
      ...{ name: 'app', version: '1.0.0', type: 'module' },
      dependencies: { 'escape-string-regexp': '5.0.0' },
    }),
    'tsconfig.json': '{"compilerOptions": {"module": "node16"}, "include": ["src"]}',
    'src/main.ts': "import escape from 'escape-string-regexp';\n\nescape('x'.trim());\n",
  });
  const tool = join(stack.state, 'tool');
  makeRepository(tool, { 'tool.py': 'from iniconfig import IniConfig\n\nIniConfig("a")\n' });
  await fumehood('repos', 'add', app, '--name', 'acme/app');
  await fumehood('repos', 'add', tool, '--name', 'acme/tool');
  const { indexers } = JSON.parse(await fumehood('indexers', 'list', '--json')) as { indexers: Indexers };
  const config = join(stack.state, 'tool.json');
  const job = {
    indexer: indexers.find(({ language }) => language === 'python')?.image,
    local_steps: ['pip install iniconfig==2.0.0'],
    indexer_args: ['scip-python', 'index', '.', '--project-name', 'tool', '--project-version', '1.0'],
  };
  writeFileSync(config, JSON.stringify({ index_jobs: [job] }));
  await fumehood('index', 'config', 'set', 'acme/tool', config);
  await fumehood('index', 'acme/app', ...broker, '--wait');
  await fumehood('index', 'acme/tool', ...broker, '--wait');

  const states = async () => {
    const { dependencies } = JSON.parse(
      await fumehood('index', 'dependencies', 'list', '--json'),
    ) as Dependencies;
    return Object.fromEntries(dependencies.map(({ name, version, state }) => [`${name} ${version}`, state]));
  };
  // The registry of this test does not have TypeScript, whose library the project uses.
  await expect
    .poll(states, { timeout: 600_000, interval: 2_000 })
    .toMatchObject({ 'escape-string-regexp 5.0.0': 'indexed', 'iniconfig 2.0.0': 'indexed' });
  await expect
    .poll(states, { timeout: 600_000, interval: 2_000 })
    .toMatchObject({ 'typescript 5.9.3': 'failed' });
  expect(await fumehood('code', 'def', 'acme/app', 'src/main.ts:3:1')).toMatch(
    /^npm escape-string-regexp@5\.0\.0 index\.d\.ts:\d+:\d+ /,
  );
  expect(await fumehood('code', 'def', 'acme/tool', 'tool.py:3:1')).toMatch(
    /^python iniconfig@2\.0\.0 iniconfig\/__init__\.py:\d+:\d+ /,
  );
});
