import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BatchChangeRecord, BatchSpecRecord, ChangesetRecord, Preview } from '@fumehood/protocol';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { busyboxImage } from '../../packages/executor/src/testing/test-images.ts';
import { type GitServer, startGitServer } from '../../packages/git/src/testing/git-server.ts';
import { layoutFiles } from '../../packages/oci/src/testing/image.ts';
import { FakeRegistry } from '../../packages/oci/src/testing/registry.ts';
import { Stack } from '../stack.ts';

const page = readFileSync(join(import.meta.dirname, '../../docs/batch-changes.md'), 'utf8');

let directory: string;
let registry: FakeRegistry;
let stack: Stack;
const remotes: GitServer[] = [];
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'fumehood-batch-'));
  registry = await FakeRegistry.start();
  await busyboxImage(directory, 'busybox');
  registry.put('alpine', '3', layoutFiles([readFileSync(join(directory, 'busybox.layer'))]));
  for (const name of ['payments', 'greeter']) {
    const remote = await startGitServer();
    remote.commit({ 'README.md': `# ${name}\n` });
    remotes.push(remote);
  }
  stack = await Stack.make();
  const settings = { registries: [{ location: registry.place, insecure: true }] };
  writeFileSync(join(stack.state, 'settings.json'), JSON.stringify(settings));
});
afterAll(async () => {
  await stack.stop();
  for (const remote of remotes) remote.stop();
  await registry.stop();
  rmSync(directory, { recursive: true, force: true });
});

/** Returns the first block of the page that begins so, with the names of this test in place of those of the page. */
function blockOf(beginning: string): string {
  const blocks = [...page.matchAll(/^```(?:yaml)?\n(.*?)^```$/gms)].map(([, block = '']) => block);
  let found = blocks.find((block) => block.startsWith(beginning)) ?? '';
  for (const [at, name] of ['payments', 'greeter'].entries()) {
    found = found.replace(
      `https://git.example.com/acme/${name}.git`,
      `${remotes[at]?.url} --name acme/${name}`,
    );
    found = found.replaceAll(`git.example.com/acme/${name}`, `acme/${name}`);
  }
  return found.replaceAll('alpine:3', `${registry.place}/alpine:3`);
}

async function fumehood(...args: string[]): Promise<string> {
  const vm = /^(execute|preview|apply)$/.test(args[1] ?? '') && args[0] === 'batches';
  const more = vm ? ['--accept', 'vm-emulated', '--memory', '256', '--scratch', '256'] : [];
  const outcome = await stack.fumehood([...args, ...more], { cwd: directory });
  expect(outcome.code, `${args.join(' ')}\n${outcome.stderr}${outcome.stdout}${stack.logs()}`).toBe(0);
  return outcome.stdout;
}
const asked = async <T>(...args: string[]): Promise<T> => JSON.parse(await fumehood(...args, '--json')) as T;

interface Shown extends BatchChangeRecord {
  readonly changesetList: ChangesetRecord[];
}
/** Waits until the changesets of the batch change are in these states. */
async function untilStates(...states: string[]): Promise<ChangesetRecord[]> {
  const shown = () => asked<Shown>('batches', 'show', 'greetings').then((one) => one.changesetList);
  await expect
    .poll(async () => (await shown()).map(({ state, failure }) => failure ?? state).toSorted(), {
      timeout: 60_000,
      interval: 500,
    })
    .toEqual(states.toSorted());
  return await shown();
}

it('the commands of docs/batch-changes.md lead from two repositories to merged branches, and an edited batch spec runs only what is new', async () => {
  const spec = join(directory, 'greetings.yaml');
  writeFileSync(spec, blockOf('name: greetings'));
  await fumehood('up');
  const lines = blockOf('fumehood repos add')
    .split('\n')
    .map((line) => line.replace(/ +#.*/, ''))
    .filter((line) => line !== '');
  expect(lines).toHaveLength(10);
  const [preview, apply, firstShow, close] = [3, 4, 5, 9];
  const outputs: string[] = [];
  for (const [at, line] of lines.entries()) {
    if (at === close) break;
    // What the page says of the pushed branches is true once the instance has pushed them, and somebody merges them then.
    if (at === firstShow) await untilStates('pushed', 'pushed');
    if (at === firstShow + 1)
      for (const [index, remote] of remotes.entries()) {
        const text = remote.git('show', 'greetings:README.md');
        expect(text).toBe(
          `# ${['payments', 'greeter'][index]}\nHello from acme/${['payments', 'greeter'][index]}`,
        );
        remote.git('merge', '-q', '--no-ff', '-m', 'merge', 'greetings');
      }
    const [, ...args] = line.split(/ +/);
    outputs.push(await fumehood(...args));
    if (at === firstShow + 2) await untilStates('merged', 'merged');
  }
  expect(outputs[preview]).toMatch(/a new batch change: 2 push/);
  expect(outputs[apply]).toMatch(/batch change admin\/greetings: open/);
  expect(outputs[firstShow]).toMatch(/changesets: 2 pushed/);
  expect(outputs.at(-1)).toMatch(/changesets: 2 merged/);

  // Another step after the first one: the first one is not run again in the repository that has not moved.
  const moved = remotes[0] as GitServer;
  const second = '  - run: echo second\n    container: IMAGE\n';
  const edited = blockOf('name: greetings')
    .replace('branch: greetings', 'branch: greetings-2')
    .replace(
      'changesetTemplate',
      `${second.replace('IMAGE', `${registry.place}/alpine:3`)}changesetTemplate`,
    );
  writeFileSync(spec, edited);
  const first = await asked<BatchSpecRecord>('batches', 'execute', '--file', 'greetings.yaml');
  expect(first.state).toBe('completed');
  moved.commit({ other: 'file\n' });
  await fumehood('repos', 'sync', 'acme/payments');
  const again = await asked<BatchSpecRecord>('batches', 'execute', '--file', 'greetings.yaml');
  const status = await asked<{
    workspaceList: { repository: string; jobId: number | null; steps: { state: string }[] }[];
  }>(...(['batches', 'status', again.id] as const));
  const steps = Object.fromEntries(
    status.workspaceList.map(({ repository, steps: all }) => [repository, all.map(({ state }) => state)]),
  );
  expect(steps).toEqual({
    'acme/greeter': ['cached', 'cached'],
    'acme/payments': ['completed', 'completed'],
  });
  expect(await asked<Preview>('batches', 'preview', again.id)).toMatchObject({ stats: { push: 2 } });
  const tips = remotes.map((remote) => remote.git('for-each-ref', '--format=%(refname) %(objectname)'));
  // A preview changes nothing.
  expect(remotes.map((remote) => remote.git('for-each-ref', '--format=%(refname) %(objectname)'))).toEqual(
    tips,
  );
  expect(await fumehood(...(lines[close] ?? '').split(/ +/).slice(1))).toBe('');
  expect((await asked<Shown>('batches', 'show', 'greetings')).state).toBe('closed');
}, 600_000);

it('a step that fails is shown with its output, and a retry runs it again', async () => {
  const spec = join(directory, 'failing.yaml');
  writeFileSync(
    spec,
    blockOf('name: greetings')
      .replace(/run: .*/, 'run: echo why >&2; exit 3')
      .replace('name: greetings', 'name: failing'),
  );
  const ended = await stack.fumehood([
    'batches',
    'execute',
    '--file',
    spec,
    '--accept',
    'vm-emulated',
    '--json',
  ]);
  expect(ended.code).toBe(1);
  const { id } = JSON.parse(ended.stdout) as BatchSpecRecord;
  const logs = await stack.fumehood(['batches', 'logs', id]);
  expect(logs.stderr).toMatch(
    /acme\/payments \(main\): failed in step 1 of 1: it ended with .*\n {2}step 1: failed\nwhy\n/,
  );
  await fumehood('batches', 'retry', id);
  await expect
    .poll(async () => (await asked<BatchSpecRecord>('batches', 'status', id)).state, {
      timeout: 120_000,
      interval: 500,
    })
    .toBe('failed');
}, 300_000);

it('Ctrl-C ends the command and not the execution, which can be followed and canceled', async () => {
  const spec = join(directory, 'slow.yaml');
  const slow = blockOf('name: greetings').replace('name: greetings', 'name: slow');
  writeFileSync(spec, slow.replace(/run: .*/, 'run: sleep 600'));
  const execute = ['batches', 'execute', '--file', spec, '--accept', 'vm-emulated', '--memory', '256'];
  const left = await stack.fumehood(execute, { interruptAt: /: step 1 of 1/ });
  expect(left).toMatchObject({ code: 130, stdout: '' });
  const [, id = ''] = /batches status --follow ([0-9a-f]{32})`/.exec(left.stderr) ?? [];
  expect(left.stderr).toContain(`batches cancel ${id}\` ends it`);
  expect((await asked<BatchSpecRecord>('batches', 'status', id)).state).toBe('processing');
  await fumehood('batches', 'cancel', id);
  const ended = await stack.fumehood(['batches', 'status', '--follow', id]);
  expect(ended.stdout).toMatch(/: canceled\nworkspaces: 2 canceled\n/);
}, 300_000);
