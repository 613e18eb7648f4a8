import { readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Job, nextStepSchema, stepDiffSchema } from '@fumehood/protocol';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { busyboxImage } from '../../packages/executor/src/testing/test-images.ts';
import { type GitServer, startGitServer } from '../../packages/git/src/testing/git-server.ts';
import type { InstanceFile } from '../../packages/instance/src/helper/config.ts';
import { executorClient } from '../../packages/instance/src/testing/executor-client.ts';
import { layoutFiles } from '../../packages/oci/src/testing/image.ts';
import { FakeRegistry } from '../../packages/oci/src/testing/registry.ts';
import { BatchUser } from '../batches.ts';
import {
  Canary,
  harmless,
  hostileRoot,
  refused,
  withForbiddenPath,
  withManyFiles,
  yamlBomb,
} from '../hostile-repositories.ts';
import { Stack } from '../stack.ts';

/** Hostile repositories, steps and batch specs, from the command line to the remote: all parts are the real ones. */
let stack: Stack;
let user: BatchUser;
let registry: FakeRegistry;
let canary: Canary;
let container: string;
const remotes = new Map<string, GitServer>();

beforeAll(async () => {
  stack = await Stack.make();
  canary = new Canary();
  const vm = ['--accept', 'vm-emulated', '--memory', '512', '--scratch', '2048'];
  user = new BatchUser(stack, vm);
  registry = await FakeRegistry.start();
  await busyboxImage(stack.state, 'busybox');
  registry.put('busybox', '1', layoutFiles([readFileSync(join(stack.state, 'busybox.layer'))]));
  container = `${registry.place}/busybox:1`;
  const registries = [{ location: registry.place, insecure: true }];
  writeFileSync(join(stack.state, 'settings.json'), JSON.stringify({ registries }));
  await user.run(['up']);
  await serve('harmless', (remote) => hostileRoot(remote, canary, harmless(canary)));
  await serve('refused', (remote) => hostileRoot(remote, canary, refused(canary)));
  await serve('many', withManyFiles);
  await serve('good', (remote) => void remote.commit({ 'README.md': 'hello\n' }));
}, 300_000);
afterAll(async () => {
  await stack.stop();
  await registry.stop();
  for (const remote of remotes.values()) remote.stop();
  canary.remove();
});

/** Serves a repository that the instance mirrors. */
async function serve(name: string, fill: (remote: GitServer) => void): Promise<void> {
  const remote = await startGitServer();
  remotes.set(name, remote);
  fill(remote);
  await user.run(['repos', 'add', remote.url, '--name', name]);
  await user.run(['repos', 'sync', name]);
}
const remoteOf = (name: string) => remotes.get(name) as GitServer;

/** Writes a batch spec that runs the attack of each directory of these repositories, and pushes a branch for each. Returns its path. */
function attackSpec(name: string, repositories: readonly string[], more: readonly object[] = []): string {
  const file = join(stack.state, `${name}.json`);
  const spec = {
    ...{ version: 2, name },
    on: repositories.map((repository) => ({ repository })),
    workspaces: [{ rootAtLocationOf: 'attack.sh', in: '*' }],
    steps: [{ run: 'sh attack.sh', container }, ...more.map((step) => ({ ...step, container }))],
    changesetTemplate: {
      ...{ title: name, body: '', branch: 'attack/${{ steps.path }}', published: true },
      commit: { message: name, author: { name: 'Ann', email: 'ann@example.com' } },
    },
  };
  writeFileSync(file, JSON.stringify(spec));
  return file;
}
const only = (path: string, step: object) => ({ if: `\${{ eq steps.path "${path}" }}`, ...step });

/** Executes a batch spec, whatever comes of it. Returns its id, how each workspace has ended, and all that it has left to read. */
async function execute(file: string) {
  const args = [
    'batches',
    'execute',
    '--file',
    file,
    '--accept',
    'vm-emulated',
    '--memory',
    '512',
    '--scratch',
    '2048',
  ];
  const { stdout, stderr } = await stack.fumehood([...args, '--json']);
  const { id } = JSON.parse(stdout) as { id: string };
  const { workspaceList } = await user.ask<{
    workspaceList: {
      repository: string;
      path: string;
      state: string;
      reason: string | null;
      jobId: number;
    }[];
  }>('batches', 'status', id);
  const texts = [stderr, await user.run(['batches', 'logs', id, '--json'])];
  for (const { jobId } of workspaceList)
    texts.push((await stack.fumehood(['jobs', 'logs', String(jobId)])).stdout);
  const ends = Object.fromEntries(
    workspaceList.map(({ repository, path, state, reason }) => [`${repository}/${path}`, reason ?? state]),
  );
  return { id, ends, texts };
}

/** Expects that nothing of the host was reached, and that instance and executor run the job of somebody else. */
async function expectUnharmed(name: string, texts: readonly string[]): Promise<void> {
  const pushed = [...remotes.values()].map((remote) => remote.git('log', '-p', '--all', '--not', 'main'));
  canary.expectUntouched([...texts, ...pushed, stack.logs()]);
  const step = { run: `echo ${name} >> README.md`, container };
  await user.apply(name, user.writeSpec(name, { on: [{ repository: 'good' }], steps: [step] }), 1);
  expect(remoteOf('good').git('show', `${name}:README.md`)).toBe(`hello\n${name}`);
  await expect.poll(() => stack.jobFiles(), { timeout: 5_000 }).toEqual([]);
}

it('steps that change `.git`, their programs and what they print decide nothing but the files of their branch', {
  timeout: 600_000,
}, async () => {
  const remote = remoteOf('harmless');
  const file = attackSpec('harmless', ['harmless'], [only('gone', { run: 'sh second.sh' })]);
  const { id, ends, texts } = await execute(file);
  expect(ends).toEqual(
    Object.fromEntries(['git', 'gone', 'moved', 'names'].map((path) => [`harmless/${path}`, 'completed'])),
  );
  await user.run(['batches', 'apply', id]);
  const states = async () => {
    const { changesetList } = await user.show('harmless');
    return Object.fromEntries(
      changesetList.map(({ headRef, failure, state }) => [headRef, failure ?? state]),
    );
  };
  await expect.poll(states, { timeout: 60_000, interval: 500 }).toEqual({
    'refs/heads/attack/git': 'pushed',
    'refs/heads/attack/gone': 'pushed',
    'refs/heads/attack/names': 'pushed',
    // What it says leads elsewhere from there: git has read the diff, and nothing was pushed.
    'refs/heads/attack/moved': expect.stringContaining(
      'a symbolic link may not move to another directory',
    ) as string,
  });
  const changed = (path: string) =>
    remote.git('diff', '-z', '--name-status', 'main', `attack/${path}`).split('\0');
  expect(changed('git')).toEqual(['A', 'git/harmless.txt', '']);
  expect(changed('gone')).toEqual(['A', 'gone/harmless.txt', 'A', 'gone/second.txt', '']);
  const names = ['--', '--output=x', '\x1b[31mred', 'a"quote', 'con', 'ends with a blank ', 'new\nline'];
  expect(changed('names')).toEqual([...names.toSorted().flatMap((name) => ['A', `names/${name}`]), '']);
  expect(remote.git('branch', '--list', 'attack/moved')).toBe('');
  await expectUnharmed('after-harmless', texts);
});

it('steps whose diff or output is too much, leads out or is none end with a reason, and nothing of their batch spec is pushed', {
  timeout: 1_200_000,
}, async () => {
  const output = (value: string, format: string) => ({ outputs: { said: { value, format } } });
  const stdout = '${{ step.stdout }}';
  const nestedList = `head -c 100000 /dev/zero | tr '\\0' '['; head -c 100000 /dev/zero | tr '\\0' ']'`;
  const file = attackSpec(
    'refused',
    ['refused', 'many'],
    [
      only('yaml', { run: 'cat bomb.yaml', ...output(stdout, 'yaml') }),
      only('template', { run: 'yes | head -c 1000000', ...output(stdout.repeat(10), 'text') }),
      only('nested', { run: nestedList, ...output(stdout, 'json') }),
      only('printf', { run: '${{ printf "%999999999d" 1 }}' }),
      only('file', { run: 'true', files: { '/opt/../../etc/x': 'x' } }),
    ],
  );
  const { id, ends, texts } = await execute(file);
  const reason = (text: RegExp) => expect.stringMatching(text) as string;
  expect(ends).toEqual({
    'many/': reason(/the diff is too big: it changes more than 50000 files/),
    'refused/big': reason(/more than 67108864 bytes/),
    'refused/dot-git': reason(/\.GIT/),
    'refused/file': reason(/it wants a file at/),
    'refused/gitlink': reason(/submodule/),
    'refused/latin1': reason(/not UTF-8/),
    'refused/link-out': reason(/a symbolic link that leads out/),
    'refused/nested': reason(/the output is nested more than 500 deep/),
    'refused/printf': reason(/a field of a format has at most 10000 characters/),
    'refused/template': reason(/a template yields at most/),
    'refused/yaml': reason(/the output is no YAML/),
    'refused/zeros': reason(/unpack to more than/),
  });
  // Whoever applies it all the same gets a batch change without the changesets of what has failed.
  await user.run(['batches', 'apply', id]);
  expect((await user.show('refused')).changesetList).toEqual([]);
  for (const name of ['refused', 'many'])
    expect(remoteOf(name).git('for-each-ref', '--format=%(refname)')).toBe('refs/heads/main');
  await expectUnharmed('after-refused', texts);
});

it('a batch spec with a bomb, or with paths that lead out, is refused before anything runs', {
  timeout: 300_000,
}, async () => {
  symlinkSync(canary.secret, join(stack.state, 'link'));
  writeFileSync(join(stack.state, 'mounted'), 'x');
  const step = (more: object) => ({ steps: [{ run: 'true', container, ...more }] });
  const mount = (path: string, mountpoint = '/opt/x') => step({ mount: [{ path, mountpoint }] });
  const wrong: [object | string, RegExp][] = [
    [mount('../../etc/passwd'), /below the directory/],
    [mount('/etc/passwd'), /below the directory/],
    [mount('link'), /link/],
    [mount('mounted,readonly'), /a comma/],
    [mount('mounted', 'opt/x'), /no absolute path/],
    [mount('mounted', '/opt/x,readonly'), /a comma/],
    [step({ files: { 'etc/x': 'x' } }), /no absolute path/],
    [step({ files: { '/opt/x,y': 'x' } }), /a comma/],
    [`name: nested\nworkspaces: ${'['.repeat(5_000)}${']'.repeat(5_000)}\n`, /nested too deeply/],
    [`name: bomb\n${yamlBomb}\n`, /alias/],
    [`name: ${'x'.repeat(2 ** 20)}\n`, /at most 1048576 bytes/],
  ];
  const file = join(stack.state, 'wrong.yaml');
  const template = { title: 't', branch: 'wrong', published: true, commit: { message: 'm' } };
  for (const [parts, message] of wrong) {
    const spec = { version: 2, name: 'wrong', on: [{ repository: 'good' }], changesetTemplate: template };
    writeFileSync(file, typeof parts === 'string' ? parts : JSON.stringify({ ...spec, ...parts }));
    const { code, stdout, stderr } = await stack.fumehood(['batches', 'apply', '--file', file]);
    const said = `${JSON.stringify(parts).slice(0, 200)}: ${stdout}${stderr}`;
    expect(code, said).toBeGreaterThan(0);
    expect(stderr, said).toMatch(message);
    canary.expectUntouched([stdout, stderr]);
  }
  const { jobs } = await user.ask<{ jobs: { state: string }[] }>('jobs', 'list');
  expect(jobs.filter(({ state }) => state === 'queued' || state === 'processing')).toEqual([]);
});

it('a repository whose tree has a `.git` is refused, and one whose `.batchignore` is a link is skipped', {
  timeout: 300_000,
}, async () => {
  await serve('ignored', (remote) => {
    symlinkSync(canary.secret, join(remote.directory, '.batchignore'));
    remote.commit({ 'attack.sh': 'true' });
  });
  await serve('forbidden', withForbiddenPath);
  const { ends, texts } = await execute(attackSpec('forbidden', ['forbidden', 'ignored']));
  expect(ends).toEqual({
    'forbidden/': 'the repository cannot be used: the path ".git/config" is reserved for git',
    'ignored/': 'the repository has a .batchignore',
  });
  await expectUnharmed('after-forbidden', texts);
});

it('an executor that sends diffs that are none, and calls a job complete that is not, gets nothing stored', {
  timeout: 300_000,
}, async () => {
  const { url } = JSON.parse(readFileSync(join(stack.state, 'run/instance.json'), 'utf8')) as InstanceFile;
  const credential = readFileSync(join(stack.state, 'run/executor-credential'), 'utf8').trim();
  const forger = executorClient({ url, credential, name: 'forger' });
  const step = { run: 'true', container };
  const file = user.writeSpec('forged', { on: [{ repository: 'good' }], steps: [step, step] });
  const args = ['--detach', '--accept', 'vm-emulated', '--label', 'forger'];
  const { id } = await user.ask<{ id: string }>('batches', 'execute', '--file', file, ...args);
  let job: Job | null = null;
  await expect
    .poll(async () => (job = await forger.lease({ queues: ['batches'], labels: ['forger'] })), {
      timeout: 60_000,
    })
    .not.toBeNull();
  const routes = forger.job(job as unknown as Job);
  expect(nextStepSchema.parse(await (await routes.nextStep(null)).json()).next).toMatchObject({ step: 0 });
  const added = (path: string, line = 'x', mode = '100644') =>
    `diff --git ${path} ${path}\nnew file mode ${mode}\n--- /dev/null\n+++ ${path}\n@@ -0,0 +1 @@\n+${line}\n`;
  const junk: (string | Buffer)[] = [
    'no diff at all\n',
    Buffer.from([0xff, 0, 0xfe]),
    ...[
      '../outside',
      '/etc/passwd',
      '.git/hooks/pre-push',
      '.GIT/config',
      'git~1/config',
      'a//b',
      'a/./b',
    ].map((path) => added(path)),
    `${added('link', canary.secret, '120000')}\\ No newline at end of file\n`,
    added('module', `Subproject commit ${'1'.repeat(40)}`, '160000'),
    `${added('twice')}${added('twice')}`,
    `From: somebody\n\n${added('mail')}`,
    'diff --git a a\nnew file mode 100644\nGIT binary patch\nliteral 999999999\nzcmV\n\n',
    added('cut').slice(0, -10),
  ];
  for (const diff of junk) {
    const stored = await routes.stepDiff(0, diff);
    const { digest } = stepDiffSchema.parse(await stored.json());
    const end = await routes.nextStep({ step: 0, stdout: '', stderr: '', diff: digest });
    const said = { status: end.status, body: await end.text() };
    expect(said, diff.toString()).toEqual({
      status: expect.toBeOneOf([400, 413]) as number,
      body: expect.stringContaining('the diff is ') as string,
    });
  }
  for (const step of [1, 199]) {
    const { digest } = stepDiffSchema.parse(await (await routes.stepDiff(step, '')).json());
    expect(
      (await routes.nextStep({ step, stdout: '', stderr: '', diff: digest })).status,
    ).toBeGreaterThanOrEqual(400);
  }
  expect((await routes.stepDiff(0, Buffer.alloc(64 * 2 ** 20 + 1))).status).toBe(413);
  expect((await routes.complete()).status).toBe(204);
  const { workspaceList } = await user.ask<{ workspaceList: object[] }>('batches', 'status', id);
  expect(workspaceList).toMatchObject([
    { state: 'failed', reason: 'its executor has ended the job before its last step' },
  ]);
  await user.run(['batches', 'apply', id]);
  expect((await user.show('forged')).changesetList).toEqual([]);
  expect(remoteOf('good').git('branch', '--list', 'forged')).toBe('');
  await expectUnharmed('after-forged', []);
});
