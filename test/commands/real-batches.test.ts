import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type GitServer, startGitServer } from '../../packages/git/src/testing/git-server.ts';
import { BatchUser } from '../batches.ts';
import { fetchNpmPackage } from '../network/packages.ts';
import { Stack } from '../stack.ts';

/** Sources of packages that many use, as they were published. */
const packages = [
  ['camelcase', '8.0.0'],
  ['commander', '12.1.0'],
  ['escape-string-regexp', '5.0.0'],
  ['is-number', '7.0.0'],
  ['minimist', '1.2.8'],
  ['ms', '2.1.3'],
  ['nanoid', '5.0.7'],
  ['p-limit', '6.1.0'],
  ['semver', '7.7.2'],
  ['yocto-queue', '1.1.1'],
] as const;
/** Tabs, `var` and the oldest Node that is supported: what a codemod changes in each file. */
const codemod = `
const fs = require('node:fs');
const path = require('node:path');
for (const file of fs.readdirSync('.', { recursive: true })) {
  if (!/\\.[cm]?js$/.test(file) || file.split(path.sep).includes('.git')) continue;
  const text = fs.readFileSync(file, 'utf8');
  fs.writeFileSync(file, text.replace(/^\\t+/gm, (tabs) => '  '.repeat(tabs.length)).replace(/^(\\s*)var /gm, '$1let '));
}
const manifest = JSON.parse(fs.readFileSync('package.json', 'utf8'));
manifest.engines = { ...manifest.engines, node: '>=20' };
fs.writeFileSync('package.json', JSON.stringify(manifest, null, 2) + '\\n');
`;

let stack: Stack;
let user: BatchUser;
let image: string;
const remotes = new Map<string, GitServer>();
beforeAll(async () => {
  stack = await Stack.make();
  user = new BatchUser(stack, ['--accept', 'vm-emulated', '--memory', '512', '--scratch', '512']);
  await user.run(['up']);
  image = await user.nodeImage();
}, 600_000);
afterAll(async () => {
  await stack.stop();
  for (const remote of remotes.values()) remote.stop();
});

/** Serves a repository that the instance mirrors, after `fill` has put files into its directory. */
async function serve(name: string, fill: (directory: string) => void): Promise<GitServer> {
  const remote = await startGitServer();
  remotes.set(name, remote);
  fill(remote.directory);
  remote.commit({});
  await user.run(['repos', 'add', remote.url, '--name', name]);
  await user.run(['repos', 'sync', name]);
  return remote;
}

it('a codemod in Node changes ten real packages as it changes them on the host; an edited spec runs only its new step', {
  timeout: 1_200_000,
}, async () => {
  for (const [name, version] of packages)
    await serve(`packages/${name}`, (directory) => fetchNpmPackage(name, version, directory));
  const first = { run: 'node /codemod.cjs', container: image, files: { '/codemod.cjs': codemod } };
  const on = [{ repositoriesMatchingQuery: 'repo:^packages/' }];
  const began = Date.now();
  await user.apply('codemod', user.writeSpec('codemod', { on, steps: [first] }), packages.length);
  console.log(`${packages.length} workspaces, one step each: ${Math.round((Date.now() - began) / 1_000)} s`);
  const script = join(stack.state, 'codemod.cjs');
  writeFileSync(script, codemod);
  for (const remote of remotes.values()) {
    execFileSync(process.execPath, [script], { cwd: remote.directory });
    // The work tree as the codemod has left it on the host, against the branch that was made in a VM.
    expect(remote.git('diff', '--stat', 'codemod')).toBe('');
    expect(remote.git('diff', '--stat', 'main', 'codemod')).not.toBe('');
    remote.git('checkout', '-q', '--', '.');
  }

  const second = { run: 'node -p "process.version" > .node-version', container: image };
  const edited = user.writeSpec('codemod', { on, steps: [first, second] });
  await user.apply('codemod', edited, packages.length);
  for (const remote of remotes.values())
    expect(remote.git('show', 'codemod:.node-version')).toMatch(/^v\d+\.\d+\.\d+$/);
  expect((await user.execute(edited)).steps).toEqual({ cached: 2 * packages.length });
  await user.run(['batches', 'close', 'codemod']);
  expect((await user.show('codemod')).state).toBe('closed');
});

it('a repository of several packages has a workspace for each, whose steps depend on what earlier ones have said', {
  timeout: 600_000,
}, async () => {
  const members = packages.slice(0, 4);
  const remote = await serve('mono', (directory) => {
    for (const [name, version] of members) fetchNpmPackage(name, version, join(directory, 'packages', name));
  });
  const steps = [
    {
      run: `node -p 'JSON.stringify({major: require("./package.json").version.split(".")[0]})'`,
      container: image,
      outputs: { version: { value: '${{ step.stdout }}', format: 'json' } },
    },
    {
      if: '${{ eq outputs.version.major "8" }}',
      run: 'echo "${{ steps.path }} is of version ${{ outputs.version.major }}" > MAJOR',
      container: image,
    },
    { if: '${{ eq repository.name "other" }}', run: 'exit 1', container: image },
  ];
  const file = user.writeSpec('majors', {
    on: [{ repository: 'mono' }],
    workspaces: [{ rootAtLocationOf: 'package.json', in: 'mono', onlyFetchWorkspace: true }],
    steps,
  });
  await user.apply('majors', file, 1);
  expect(remote.git('diff', '--name-status', 'main', 'majors')).toBe('A\tpackages/camelcase/MAJOR');
  expect(remote.git('show', 'majors:packages/camelcase/MAJOR')).toBe('packages/camelcase is of version 8');
  // The last step is skipped in all of them, and the second one in all but one.
  expect((await user.execute(file)).steps).toEqual({ cached: 5, skipped: 7 });
  await user.run(['batches', 'close', 'majors']);
});
