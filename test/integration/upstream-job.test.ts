import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { FakeUpstream } from '../../packages/executor/src/testing/fake-upstream.ts';
import { TestAgent } from '../../packages/executor/src/testing/test-agent.ts';
import { busyboxImage } from '../../packages/executor/src/testing/test-images.ts';
import { basic, FakeRegistry } from '../../packages/oci/src/testing/registry.ts';

/**
 * A job of upstream's batches queue in the form in which upstream's instance leases it, from the lease to the mark. Its image comes
 * from a registry with a password. Its workspace is a part of a repository, a file in the payload and a file of the files route. Its
 * two steps run in a VM.
 */
const base = '/.executors/queue';
const time = '2023-01-02T03:04:05Z';

let root: string;
let upstream: FakeUpstream;
let registry: FakeRegistry;
let agent: TestAgent;
let commit: string;
let digest: string;
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'fumehood-upstream-'));
  commit = makeRepository();
  upstream = await FakeUpstream.start();
  upstream.repositories = join(root, 'repositories');
  registry = await FakeRegistry.start();
  registry.basic = basic;
  const { file } = await busyboxImage(root, 'tool', { env: ['FROM=image'] });
  const layout = join(root, 'layout');
  mkdirSync(layout);
  execFileSync('tar', ['-xf', file, '-C', layout]);
  const blobs = join(layout, 'blobs/sha256');
  const names = readdirSync(blobs).map((name) => `blobs/sha256/${name}`);
  const files = ['index.json', ...names].map((name) => [name, readFileSync(join(layout, name))] as const);
  digest = registry.put('group/tool', '1.0', new Map(files));
  const registries = [{ location: registry.place, insecure: true, mirrors: [] }];
  agent = await TestAgent.start(undefined, { instance: upstream, registries });
});
afterAll(async () => {
  await agent.stop();
  await upstream.stop();
  await registry.stop();
  rmSync(root, { recursive: true, force: true });
});

function makeRepository(): string {
  const source = join(root, 'source');
  const git = (...args: string[]) =>
    execFileSync('git', ['-C', source, '-c', 'user.name=t', '-c', 'user.email=t@t', ...args])
      .toString()
      .trim();
  for (const name of ['part', 'rest']) mkdirSync(join(source, name), { recursive: true });
  execFileSync('sh', ['-c', 'echo wanted > part/file; echo other > rest/file; echo top > file'], {
    cwd: source,
  });
  git('init', '-q');
  git('add', '-A');
  git('commit', '-qm', 'first');
  const target = join(root, 'repositories', 'acme');
  execFileSync('git', ['init', '-q', '--bare', target]);
  execFileSync('git', ['-C', target, 'fetch', '-q', source, 'HEAD:refs/heads/main']);
  return git('rev-parse', 'HEAD');
}

test('a job of an upstream instance runs in a VM, with an image that its registry gives only to this job', async () => {
  const script =
    'echo "$FROM $MINE"; cat part/file ../input.json ../extra/more; ls . ..; id -u; echo kept > part/made';
  const job = {
    ...{ version: 2, id: 42, token: 'a-token-of-this-job', queue: 'batches', repositoryName: 'acme', commit },
    ...{
      repositoryDirectory: 'repository',
      fetchTags: false,
      shallowClone: true,
      sparseCheckout: ['/part/*'],
    },
    files: {
      'input.json': { content: Buffer.from('brought\n').toString('base64'), modifiedAt: time },
      'extra/more': { bucket: 'batch-changes', key: 'spec/file', modifiedAt: time },
    },
    dockerSteps: [
      {
        ...{ key: 'step.0', image: `${registry.place}/group/tool:1.0`, dir: 'repository' },
        ...{ commands: [script], env: ['MINE=step'] },
      },
      {
        ...{ key: 'step.1', image: `${registry.place}/group/tool:1.0`, dir: 'repository' },
        ...{ commands: ['cat part/made; echo "$HIDDEN"'], env: ['HIDDEN=hidden-value'] },
      },
    ],
    ...{ cliSteps: null, redactedValues: { 'hidden-value': 'SECRET' } },
    dockerAuthConfig: { auths: { [registry.place]: { auth: basic } } },
  };
  const noContent = { status: 204 };
  upstream.answer(`POST ${base}/dequeue`, { status: 200, body: JSON.stringify(job) }, noContent);
  upstream.answer(`POST ${base}/heartbeat`, {
    ...{ status: 200, body: '{"knownIds":["42-batches"],"cancelIds":[]}' },
  });
  upstream.answer(
    `POST ${base}/batches/addExecutionLogEntry`,
    ...Array.from({ length: 20 }, (_, index) => ({ status: 200, body: String(index + 1) })),
  );
  upstream.answer(`POST ${base}/batches/updateExecutionLogEntry`, noContent);
  for (const mark of ['markComplete', 'markErrored', 'markFailed'])
    upstream.answer(`POST ${base}/batches/${mark}`, noContent);
  upstream.answer('GET /.executors/files/batch-changes/spec/file', { status: 200, body: 'fetched\n' });

  const marks = () => upstream.received.filter(({ line }) => /\/mark[A-Z]\w+$/.test(line));
  await agent.until(() => marks().length > 0, 100_000);
  expect(marks().map(({ line, body }) => [line, body])).toEqual([
    [`POST ${base}/batches/markComplete`, { executorName: 'test', jobId: 42 }],
  ]);
  const output = (key: string) =>
    (upstream.bodies('updateExecutionLogEntry') as { key: string; out: string }[]).findLast(
      (body) => body.key === key,
    )?.out;
  const lines = (text: string) =>
    text
      .split(' ')
      .map((word) => `stdout: ${word}\n`)
      .join('');
  expect(output('step.docker.step.0')).toBe(
    `stdout: image step\n${lines('wanted brought fetched')}${lines('.: part')}stdout: \n${lines('..: extra input.json repository 0')}`,
  );
  expect(output('step.docker.step.1')).toBe('stdout: kept\nstdout: SECRET\n');
  expect(output('setup.image')).toContain(`group/tool:1.0 is ${digest}`);
  expect(JSON.stringify(upstream.bodies('updateExecutionLogEntry'))).not.toContain(basic);
  expect(readdirSync(join(agent.root, 'work'))).toEqual([]);
  expect(readdirSync(join(agent.root, 'run'))).toEqual([]);
});
