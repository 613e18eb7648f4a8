import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Receipt } from '@fumehood/protocol';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { BatchUser } from '../batches.ts';
import { Internet } from '../network/internet.ts';
import { fetchNpmPackage, makeRepositoryOf, mirrorNpmPackage } from '../network/packages.ts';
import { runProgram, Stack } from '../stack.ts';

/** Packages that depend on semver alone, as they were published. */
const packages = [
  ['builtins', '5.1.0'],
  ['clean-semver', '2.1.0'],
  ['is-semver', '1.0.12'],
  ['make-dir', '4.0.0'],
  ['node-abi', '3.71.0'],
  ['node-version-matches', '3.0.0'],
  ['npm-install-checks', '6.3.0'],
  ['semver-diff', '4.0.0'],
  ['semver-truncate', '3.0.0'],
  ['simple-update-notifier', '2.0.0'],
] as const;
/** The old version has a known hole, and dependencies of its own; the new one has neither. */
const [oldVersion, newVersion] = ['7.5.1', '7.6.3'];
const lockOnly = ['--package-lock-only', '--ignore-scripts', '--no-audit', '--no-fund'];

const password = 'the-password-of-the-registry';
const encoded = Buffer.from(`ci:${password}`).toString('base64');

let stack: Stack;
let user: BatchUser;
let internet: Internet;
let image: string;
const at = (...path: string[]) => join(stack.state, 'internet', ...path);

beforeAll(async () => {
  stack = await Stack.make();
  const vm = ['--accept', 'vm-emulated', '--memory', '768', '--scratch', '512'];
  user = new BatchUser(stack, [...vm, '--network', 'none', '--broker', 'npm']);
  for (const [name, versions] of Object.entries({
    semver: [oldVersion, newVersion],
    'lru-cache': ['6.0.0'],
    yallist: ['4.0.0'],
  }))
    mirrorNpmPackage(at('npm'), 'https://npm.test', name, versions);
  internet = await Internet.start(stack.state, {
    'npm.test': { files: at('npm'), credential: `Basic ${encoded}` },
    'git.test': { git: at('git') },
  });
  for (const [name, version] of packages) makePackageRepository(name, version);
  const settings = { nameServers: [internet.nameServer], brokerCaFile: internet.authorityFile };
  writeFileSync(join(stack.state, 'settings.json'), JSON.stringify(settings));
  const command = join(import.meta.dirname, '../../packages/fumehood/bin/fumehood.mjs');
  const { code, stderr } = await runProgram(internet.onMachine([process.execPath, command, 'up']), {
    env: { FUMEHOOD_STATE: stack.state },
  });
  expect(code, stderr).toBe(0);
  image = await user.nodeImage();
  const entry = ['broker', 'add', 'npm', 'https://npm.test/', '--kind', 'npm'];
  await user.run([...entry, '--username', 'ci', '--secret-stdin'], password);
  for (const [name] of packages) {
    const url = `http://${internet.address('git.test')}/${name}.git`;
    await user.run(['repos', 'add', url, '--name', `packages/${name}`]);
    await user.run(['repos', 'sync', `packages/${name}`]);
  }
}, 600_000);
afterAll(async () => {
  await stack.stop();
  await internet.stop();
});

/** Runs npm beside the registry, with the credential that guests never get, and without the settings of this machine's npm. */
function npmOnHost(directory: string, ...args: string[]): void {
  const host = internet.address('npm.test');
  const config = join(stack.state, 'npmrc');
  writeFileSync(config, `registry=http://${host}/\n//${host}/:_auth=${encoded}\n`);
  const [program = '', ...rest] = internet.onMachine(['npm', ...args, ...lockOnly]);
  const env = {
    PATH: process.env.PATH,
    npm_config_userconfig: config,
    npm_config_cache: join(stack.state, 'cache'),
  };
  execFileSync(program, rest, { cwd: directory, stdio: 'pipe', env });
}

/** Makes the repository of a package, with the old version of its dependency in its lock file, and without the tools of its development. */
function makePackageRepository(name: string, version: string): void {
  const tree = at('trees', name);
  fetchNpmPackage(name, version, tree);
  const manifest = JSON.parse(readFileSync(join(tree, 'package.json'), 'utf8')) as Record<string, unknown>;
  const { devDependencies: _, scripts: __, ...kept } = manifest;
  writeFileSync(join(tree, 'package.json'), `${JSON.stringify(kept, null, 2)}\n`);
  npmOnHost(tree, 'install', `semver@${oldVersion}`);
  const repository = at('git', `${name}.git`);
  makeRepositoryOf(tree, repository);
  execFileSync('git', ['-C', repository, 'config', 'http.receivepack', 'true']);
}

const gitOf = (name: string, ...args: string[]) =>
  execFileSync('git', ['-C', at('git', `${name}.git`), ...args], { encoding: 'utf8' }).trimEnd();

/** Expects that what people and the guest can read of an execution has the credential nowhere, and that its jobs have reached nothing but the broker. */
async function expectNoCredential(spec: string): Promise<void> {
  const logs = await user.run(['batches', 'logs', spec, '--json']);
  expect(logs).toContain('npm_config_registry=http://npm.broker.internal/');
  const { workspaceList } = await user.ask<{ workspaceList: { jobId: number }[] }>('batches', 'status', spec);
  const texts = [logs, stack.logs()];
  for (const { jobId } of workspaceList) {
    texts.push(await user.run(['jobs', 'logs', String(jobId)]));
    texts.push(await user.run(['jobs', 'show', String(jobId), '--json']));
    const { receipts } = await user.ask<{ receipts: Receipt[] }>('jobs', 'network', String(jobId));
    expect(new Set(receipts.map(({ kind, verdict, name }) => `${kind} ${verdict} ${name}`))).toEqual(
      new Set(['broker allowed npm.test']),
    );
  }
  for (const [name] of packages) texts.push(gitOf(name, 'log', '--all', '-p'));
  for (const secret of [password, encoded]) expect(texts.join('\n')).not.toContain(secret);
}

/** Expects that the branch of a package has the new version, as npm on the host puts it into the files of its package. */
function expectBumped(name: string, integrity: string): void {
  expect(gitOf(name, 'diff', '--name-status', 'main', 'bump'), name).toBe(
    'M\tpackage-lock.json\nM\tpackage.json',
  );
  const tree = at('trees', `${name}-on-host`);
  gitOf(name, 'worktree', 'add', '-q', '--detach', tree, 'main');
  npmOnHost(tree, 'install', `semver@${newVersion}`);
  for (const file of ['package.json', 'package-lock.json'])
    expect(gitOf(name, 'show', `bump:${file}`), `${name} ${file}`).toBe(
      readFileSync(join(tree, file), 'utf8').trimEnd(),
    );
  const { packages: locked } = JSON.parse(gitOf(name, 'show', 'bump:package-lock.json')) as {
    packages: object;
  };
  expect(Object.keys(locked)).toEqual(['', 'node_modules/semver']);
  const resolved = `https://npm.test/semver/-/semver-${newVersion}.tgz`;
  expect(locked).toMatchObject({
    'node_modules/semver': { version: newVersion, resolved, integrity },
  });
}

it('a bump of a dependency in ten real packages goes through the broker, and makes the lock files that npm makes on the host', {
  timeout: 1_800_000,
}, async () => {
  const on = [
    { repositoriesMatchingQuery: 'repo:^packages/ file:^package-lock\\.json$ "node_modules/semver"' },
  ];
  const bump = { run: `env; npm install semver@${newVersion} ${lockOnly.join(' ')} >&2`, container: image };
  const began = Date.now();
  const spec = user.writeSpec('bump', { on, steps: [bump] });
  const executed = await user.execute(spec);
  console.log(`${packages.length} workspaces, one npm each: ${Math.round((Date.now() - began) / 1_000)} s`);
  expect(executed.steps).toEqual({ completed: packages.length });
  await user.apply('bump', spec, packages.length);
  await expectNoCredential(executed.id);
  const view = ['view', `semver@${newVersion}`, 'dist.integrity'];
  const integrity = execFileSync('npm', view, { encoding: 'utf8' }).trim();
  for (const [name] of packages) expectBumped(name, integrity);

  // Another title for all, and for one of them a step that installs by the new lock file.
  const tips = new Map(packages.map(([name]) => [name, gitOf(name, 'rev-parse', 'bump')]));
  const install = {
    if: '${{ eq repository.name "packages/make-dir" }}',
    run: `npm ci --ignore-scripts >&2 && node -p 'require("semver/package.json").version' > .semver && rm -rf node_modules`,
    container: image,
  };
  const edited = user.writeSpec('bump', { on, steps: [bump, install] }, 'Another title');
  const others = packages.length - 1;
  expect((await user.execute(edited)).steps).toEqual({
    ...{ cached: packages.length, completed: 1, skipped: others },
  });
  await user.apply('bump', edited, packages.length);
  expect((await user.show('bump')).changesetList.map(({ title }) => title)).toEqual(
    Array<string>(packages.length).fill('Another title'),
  );
  expect(gitOf('make-dir', 'show', 'bump:.semver')).toBe(newVersion);
  for (const [name, tip] of tips) if (name !== 'make-dir') expect(gitOf(name, 'rev-parse', 'bump')).toBe(tip);
  expect((await user.execute(edited)).steps).toEqual({ cached: packages.length + 1, skipped: others });
  await user.run(['batches', 'close', 'bump']);
  expect((await user.show('bump')).state).toBe('closed');
});
