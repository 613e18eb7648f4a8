import { execFileSync } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { systemClock } from '@fumehood/base';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { NativeJob } from '@fumehood/protocol';
import { nothingLeft, TestAgent } from '../testing/test-agent.ts';
import { hostProgram } from '../testing/test-images.ts';
import { testJob } from '../testing/test-job.ts';

let agent: TestAgent;
let image: string;
let workerImage: string;
let commit: string;

beforeAll(async () => {
  agent = await TestAgent.start();
  image = await agent.putImage('plain', { env: ['FROM=image'] });
  workerImage = await agent.putImage('worker', { user: 'worker', workingDir: '/home/worker' });
  commit = makeRepository(agent.root);
});
afterAll(() => agent.stop());
beforeEach(() => agent.reset());

function makeRepository(root: string): string {
  const git = (directory: string, ...args: string[]) =>
    execFileSync('git', ['-C', directory, '-c', 'user.name=t', '-c', 'user.email=t@t', ...args], {
      stdio: 'pipe',
    })
      .toString()
      .trim();
  const source = join(root, 'source');
  const target = join(root, 'repositories', 'acme');
  execFileSync('git', ['init', '-q', source]);
  execFileSync('sh', ['-c', 'echo "echo code of the repository" > hello.sh; mkdir sub; echo x > sub/file'], {
    cwd: source,
  });
  git(source, 'add', '-A');
  git(source, 'commit', '-qm', 'first');
  execFileSync('git', ['init', '-q', '--bare', target]);
  git(target, 'fetch', '-q', source, 'HEAD:refs/heads/main');
  return git(source, 'rev-parse', 'HEAD');
}

describe('a command', () => {
  it('runs in a fresh VM, with stdout and stderr apart, reports its end and leaves nothing on the host', async () => {
    agent.instance.input = Buffer.from('from stdin\n');
    const mark = await agent.run(
      {
        dockerSteps: [
          {
            image,
            argv: ['sh', '-c', 'cat; echo "$FROM $MINE $HOME $(hostname)"; echo err >&2'],
            env: ['MINE=step'],
          },
        ],
      },
      { stdin: true },
    );
    expect(mark).toEqual({ operation: 'markComplete' });
    expect(agent.instance.entries.map((entry) => [entry.key, entry.exitCode])).toEqual([
      ['setup.image', 0],
      ['setup.vm', 0],
      ['setup.guest', 0],
      ['step.docker.0', 0],
      ['teardown.vm', 0],
    ]);
    expect(agent.instance.output('step.docker.0')).toBe(`from stdin\nimage step /root job-${agent.lastId}\n`);
    expect(agent.instance.entries[3]?.stderr.toString()).toBe('err\n');
    expect(agent.instance.result).toMatchObject({
      tier: 'vm-emulated',
      vmm: 'qemu',
      exitCode: 0,
      guest: { interfaces: ['lo'] },
      inspection: null,
      leftOver: nothingLeft,
    });
  });

  it('that fails is reported with its exit code and its last lines, and later steps do not run', async () => {
    const mark = await agent.run({
      dockerSteps: [
        { key: 'build', image, commands: ['echo one', 'echo it broke >&2', 'exit 42'] },
        { image, argv: ['echo', 'never'] },
      ],
    });
    expect(mark).toMatchObject({ operation: 'markFailed', reason: 'step_failed' });
    expect(mark.errorMessage).toContain('build ended with exit code 42:\nit broke');
    expect(agent.instance.result).toMatchObject({ exitCode: 42, leftOver: nothingLeft });
    expect(agent.instance.entries.map((entry) => entry.key)).not.toContain('step.docker.1');
  });

  it('that is not in the image fails with `step_not_started`', async () => {
    const mark = await agent.run({ dockerSteps: [{ image, argv: ['no-such-program'] }] });
    expect(mark).toMatchObject({ operation: 'markFailed', reason: 'step_not_started' });
    expect(agent.instance.result).toMatchObject({ exitCode: 127, leftOver: nothingLeft });
  });

  it("that takes too long is stopped at its deadline: by its image's signal, and then it ends with its own exit code", async () => {
    const quitting = await agent.putImage('quitting', { stopSignal: 3 });
    const script = 'trap "echo asked; exit 7" QUIT; while :; do sleep 0.1; done';
    const step = { image: quitting, argv: ['sh', '-c', script] };
    const mark = await agent.run({ dockerSteps: [step] }, { deadlineMs: 1_500 });
    expect(mark).toMatchObject({ operation: 'markFailed', reason: 'deadline' });
    expect(agent.instance.output('step.docker.0')).toBe('asked\n');
    expect(agent.instance.result).toMatchObject({ exitCode: 7, leftOver: nothingLeft });
  });

  it('that takes too long and ignores the signal is killed after its grace period', async () => {
    const script = 'trap "echo asked" TERM; while :; do sleep 0.1; done';
    const step = { image, argv: ['sh', '-c', script] };
    const mark = await agent.run({ dockerSteps: [step] }, { deadlineMs: 1_500, stopGraceMs: 1_000 });
    expect(mark).toMatchObject({ operation: 'markFailed', reason: 'deadline' });
    expect(agent.instance.output('step.docker.0')).toBe('asked\n');
    expect(agent.instance.result).toMatchObject({ exitCode: 137, leftOver: nothingLeft });
  });

  it('that exceeds its memory limit is stopped and fails with `memory`', async () => {
    const doubling = 'x=0123456789abcdef; while :; do x=$x$x; done';
    // Init may need ten seconds to see that the step makes no progress.
    const step = { image, argv: ['sh', '-c', doubling] };
    const mark = await agent.run({ dockerSteps: [step] }, { deadlineMs: 100_000 }, 100_000);
    expect(mark).toMatchObject({ operation: 'markFailed', reason: 'memory' });
    expect(agent.instance.result).toMatchObject({ leftOver: nothingLeft });
  });
});

describe('a job is stopped', () => {
  const start = async (script: string, native: Partial<NativeJob> = {}) => {
    const dockerSteps = [{ image, argv: ['sh', '-c', script] }];
    agent.instance.jobs.push(testJob({ id: ++agent.lastId, dockerSteps }, native));
    await agent.until(() => agent.instance.output('step.docker.0').includes('started'));
  };

  const lastEntries = () => agent.instance.entries.slice(-2).map(({ key, exitCode }) => [key, exitCode]);
  const machine = () => execFileSync('ps', ['-eo', 'args']).toString().includes(`fumehood-j${agent.lastId}-`);

  it('when it is canceled: by a signal, and it is released once its VM is destroyed', async () => {
    await start('trap "echo asked; exit 7" TERM; echo started; while :; do sleep 0.1; done');
    agent.instance.canceled.add(agent.lastId);
    expect(await agent.ended()).toEqual({ operation: 'released' });
    expect(machine()).toBe(false);
    expect(agent.instance.output('step.docker.0')).toBe('started\nasked\n');
    expect(lastEntries()).toEqual([
      ['step.docker.0', 7],
      ['teardown.vm', 0],
    ]);
    expect(agent.instance.result).toBeNull();
  });

  it('when it is canceled and its step ignores the signal: it is killed after the grace period', async () => {
    await start('echo started; while :; do sleep 0.1; echo on; done', { stopGraceMs: 1_500 });
    agent.instance.canceled.add(agent.lastId);
    const canceledAt = performance.now();
    expect(await agent.ended()).toEqual({ operation: 'released' });
    expect(performance.now() - canceledAt).toBeGreaterThan(1_500);
    expect(lastEntries()[0]).toEqual(['step.docker.0', 137]);
  });

  it('when its lease is lost: at once, whatever its grace period is, and it writes nothing more', async () => {
    await start('echo started; sleep 60', { stopGraceMs: 300_000 });
    agent.instance.leased.delete(agent.lastId);
    await agent.until(() => !machine());
    await systemClock.sleep(500);
    expect(agent.instance.marks).toEqual([]);
    expect(await readdir(join(agent.root, 'work'))).toEqual([]);
  });
});

describe('a job with a repository', () => {
  const repository = () => ({ repositoryName: 'acme', commit });

  it('has it as the working directory of its steps, writable by every user and kept from step to step', async () => {
    const mark = await agent.run({
      ...repository(),
      queue: 'codeintel',
      dockerSteps: [
        {
          image: workerImage,
          argv: ['sh', '-c', 'id -u; pwd; sh hello.sh; echo new > sub/new; echo y > sub/file'],
        },
        { image, dir: 'sub', argv: ['sh', '-c', 'pwd; cat new file; test ! -e /marker && touch /marker'] },
        { image, argv: ['test', '!', '-e', '/marker'] },
      ],
    });
    expect(agent.instance.output('step.docker.0')).toBe('1000\n/data\ncode of the repository\n');
    expect(agent.instance.output('step.docker.1')).toBe('/data/sub\nnew\ny\n');
    expect(mark).toEqual({ operation: 'markComplete' });
  });

  it('has a worktree that git finds clean until a step changes it, also for a user who does not own the files', async () => {
    const gitImage = await agent.putImage('git', { user: 'worker' }, hostProgram('/usr/bin/git'));
    const script =
      'git status --porcelain; echo ---; echo y > sub/file; git status --porcelain; git log --format=%H';
    const mark = await agent.run({
      ...repository(),
      dockerSteps: [{ image: gitImage, argv: ['sh', '-c', script] }],
    });
    expect(mark).toEqual({ operation: 'markComplete' });
    expect(agent.instance.output('step.docker.0')).toBe(`---\n M sub/file\n${commit}\n`);
  });

  it('uploads its index by the upload route, and no credential is in the VM', async () => {
    const mark = await agent.run(
      {
        ...repository(),
        queue: 'codeintel',
        dockerSteps: [{ key: 'indexer', image, argv: ['sh', '-c', 'echo the index > sub/index.scip'] }],
      },
      { inspect: true, upload: { file: 'sub/index.scip', root: 'sub', indexer: 'scip-test' } },
    );
    expect(mark).toEqual({ operation: 'markComplete' });
    expect(agent.instance.entries.map((entry) => entry.key)).toEqual([
      'setup.workspace',
      'setup.image',
      'setup.vm',
      'setup.guest',
      'step.docker.indexer',
      'collect',
      'inspect',
      'upload',
      'teardown.vm',
    ]);
    expect(agent.instance.uploads.map(String)).toEqual(['the index\n']);
    // The client could use one route, and had no variable of the executor.
    expect(agent.instance.output('upload')).toContain('dequeue 403 upload 202 HOME,LC_ALL,PATH,PWD,SRC_');
    expect(agent.instance.result).toMatchObject({
      inspection: { credentials: 2, found: 0, controlFound: true },
    });
  });

  it('fails with the name of the index file when no step has made it', async () => {
    const mark = await agent.run(
      { ...repository(), queue: 'codeintel', dockerSteps: [{ image, argv: ['touch', 'other'] }] },
      { upload: { file: 'index.scip', root: '', indexer: 'scip-test' } },
    );
    expect(mark).toMatchObject({ operation: 'markFailed', reason: 'artifact_missing' });
    expect(mark.errorMessage).toContain('index.scip');
  });

  it('fails before a VM boots when the instance does not have the commit', async () => {
    const mark = await agent.run({ ...repository(), commit: '5'.repeat(40), dockerSteps: [{ image }] });
    expect(mark).toMatchObject({ operation: 'markFailed', reason: 'commit_missing' });
    expect(agent.instance.entries.map((entry) => entry.key)).not.toContain('setup.vm');
  });
});

it.runIf(process.getuid?.() === 0)(
  'an executor whose disk is full leases nothing after three jobs, says why, and leases again when there is room for its canary',
  async () => {
    const { instance } = agent;
    const job = () => testJob({ id: ++agent.lastId, dockerSteps: [{ image, argv: ['echo', 'hello'] }] });
    const run = join(agent.root, 'run');
    const mount = (...args: string[]) => execFileSync('mount', ['-o', ...args, run]);
    mount('size=16m,mode=710', '-t', 'tmpfs', 'tmpfs');
    try {
      instance.jobs.push(job(), job(), job());
      await agent.until(() => instance.trouble?.includes('the disk of the executor is full'));
      expect(instance.marks.map(({ reason }) => reason)).toEqual(['disk_full', 'disk_full', 'disk_full']);
      instance.jobs.push(job());
      await systemClock.sleep(1_000);
      expect(instance.jobs).toHaveLength(1);
      mount('remount,size=1g');
      await agent.until(() => instance.marks.length === 4);
      expect(instance.marks.at(-1)).toEqual({ operation: 'markComplete' });
      await agent.until(() => instance.trouble === null);
    } finally {
      execFileSync('umount', ['--lazy', run]);
    }
  },
);
