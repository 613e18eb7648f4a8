import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { busyboxImage } from '../../packages/executor/src/testing/test-images.ts';
import { type GitServer, startGitServer } from '../../packages/git/src/testing/git-server.ts';
import { FakeRegistry } from '../../packages/oci/src/testing/registry.ts';
import { Stack } from '../stack.ts';

/** A batch spec from its text to a pushed branch: command line, instance, executor, VM and remote are the real ones. */
let stack: Stack;
let remote: GitServer;
let registry: FakeRegistry;

beforeAll(async () => {
  stack = await Stack.make();
  remote = await startGitServer();
  registry = await FakeRegistry.start();
  const { file } = await busyboxImage(stack.state, 'tool');
  const layout = join(stack.state, 'layout');
  mkdirSync(layout);
  execFileSync('tar', ['-xf', file, '-C', layout]);
  const names = readdirSync(join(layout, 'blobs/sha256')).map((name) => `blobs/sha256/${name}`);
  const files = ['index.json', ...names].map((name) => [name, readFileSync(join(layout, name))] as const);
  registry.put('tool', '1', new Map(files));
  const registries = [{ location: registry.place, insecure: true }];
  writeFileSync(join(stack.state, 'settings.json'), JSON.stringify({ registries }));
});
afterAll(async () => {
  await stack.stop();
  await registry.stop();
  remote.stop();
});

const fumehood = async (...args: string[]) => {
  const outcome = await stack.fumehood(args);
  expect(outcome.code, `${args.join(' ')}\n${outcome.stdout}${outcome.stderr}${stack.logs()}`).toBe(0);
  return outcome.stdout;
};

test('the steps of a batch spec run in a VM, and their diff becomes a branch of the remote; a second step sees the first', async () => {
  remote.commit({ 'README.md': 'hello\n', 'old.txt': 'old\n', 'src/a.sh': 'echo a\n' });
  await fumehood('up');
  await fumehood('repos', 'add', remote.url);
  const spec = join(stack.state, 'spec.yaml');
  const text = (last: string) => `
name: greetings
on: [{repositoriesMatchingQuery: 'file:^README\\.md$'}]
steps:
  - run: |
      echo "Hello from \${{ repository.name }}" >> README.md
      rm old.txt; chmod 755 src/a.sh; echo '*' > .git/info/exclude; echo new > new.txt; echo 3
    container: ${registry.place}/tool:1
    outputs: {n: {value: '\${{ step.stdout }}', format: json}}
  - run: echo "\${{ outputs.n }} \${{ join previous_step.added_files "," }} ${last}" > second.txt
    container: ${registry.place}/tool:1
changesetTemplate:
  {title: Greet, body: b, branch: greetings, commit: {message: Greet}, published: true}
`;
  writeFileSync(spec, text('one'));
  await fumehood('batches', 'apply', '--file', spec, '--accept', 'vm-emulated', '--memory', '256');
  const branch = 'greetings';
  await expect.poll(() => remote.git('branch', '--list', branch), { timeout: 30_000 }).toContain(branch);
  expect(remote.git('diff', '--name-status', 'main', branch).split('\n')).toEqual([
    'M\tREADME.md',
    'A\tnew.txt',
    'D\told.txt',
    'A\tsecond.txt',
    'M\tsrc/a.sh',
  ]);
  expect(remote.git('ls-tree', branch, 'src/a.sh')).toContain('100755');
  expect(remote.git('show', `${branch}:second.txt`)).toBe('3 new.txt one');

  // The first step has a result: the second one runs on its diff.
  writeFileSync(spec, text('two'));
  await fumehood('batches', 'apply', '--file', spec, '--accept', 'vm-emulated', '--memory', '256');
  const second = () => remote.git('show', `${branch}:second.txt`);
  await expect.poll(second, { timeout: 30_000 }).toBe('3 new.txt two');
});
