import { execFileSync } from 'node:child_process';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { busyboxImage } from '../../packages/executor/src/testing/images.ts';
import { type CommandOptions, Stack } from '../stack.ts';

let stack: Stack;
let image: string;

beforeAll(async () => {
  stack = await Stack.make();
  image = `docker-archive:${(await busyboxImage(stack.state, 'plain', { env: ['FROM=image'] })).file}`;
  const up = await stack.glovebox(['up']);
  expect(up.code, up.stderr).toBe(0);
});
afterAll(() => stack.stop());
afterEach(() => expect(stack.jobFiles()).toEqual([]));

const run = (args: readonly string[], options?: CommandOptions) =>
  stack.glovebox(['run', '--accept', 'vm-emulated', '--memory', '256', '--scratch', '256', ...args], options);

describe('glovebox run', () => {
  test('runs the command in a VM; its outputs and its exit code are this one’s', async () => {
    const script = 'echo out; echo err >&2; echo "$FROM $MINE"; exit 7';
    const ended = await run(['-e', 'MINE=mine', image, '--', 'sh', '-c', script]);
    expect(ended).toMatchObject({ code: 7, stdout: 'out\nimage mine\n' });
    expect(ended.stderr.replace(/^sending the image .*\n/, '')).toBe('err\n');
  });

  test('passes stdin on, every byte, and its end', async () => {
    const input = Buffer.alloc(300_000, 'a line of input\n');
    const ended = await run([image, '--', 'sh', '-c', 'cat; echo end'], { input });
    expect(ended.code).toBe(0);
    expect(ended.stdout === `${input.toString()}end\n`).toBe(true);
  });

  test('says that it took too long, with 124', async () => {
    const ended = await run(['--timeout', '1', image, '--', 'sleep', '60']);
    expect(ended.code).toBe(124);
    expect(ended.stderr).toMatch(/1 s/);
    expect(ended.stderr).not.toMatch(/^\s+at /m);
  });

  test('says what is not in the image, with 127', async () => {
    const ended = await run([image, '--', 'no-such-program']);
    expect(ended.code).toBe(127);
    expect(ended.stderr).toContain('no-such-program');
  });

  test('accepts hardware isolation alone; where there is none it says what to do, with 3', async () => {
    const { stdout } = await stack.glovebox(['status', '--json']);
    const { tiers } = (JSON.parse(stdout) as { answer: { tiers: string[] } }).answer;
    const ended = await stack.glovebox(['run', image, '--', 'echo', 'hello']);
    if (tiers.includes('vm-hardware')) return expect(ended).toMatchObject({ code: 0, stdout: 'hello\n' });
    expect(ended).toMatchObject({ code: 3, stdout: '' });
    expect(ended.stderr).toContain('--accept vm-emulated');
  });

  test('stops the job on Ctrl-C, with 130', async () => {
    const script = 'echo started >&2; sleep 60; echo never';
    const ended = await run([image, '--', 'sh', '-c', script], { interruptAt: /started/ });
    expect(ended.code).toBe(130);
    expect(ended.stdout).toBe('');
  });

  test('--json is the job as one object, its output on stderr', async () => {
    const ended = await run(['--json', image, '--', 'echo', 'hello']);
    expect(ended.stderr).toBe('hello\n');
    expect(JSON.parse(ended.stdout)).toMatchObject({
      state: 'completed',
      attempt: 1,
      exitCode: 0,
      tier: 'vm-emulated',
      vmm: 'qemu',
      guest: { interfaces: ['lo'] },
      leftOver: { processes: 0, mounts: 0, namespaces: 0, loopDevices: 0, cgroups: 0, files: 0 },
    });
  });
});

describe('what runs', () => {
  test('status says where it is and what it has, as text and as JSON', async () => {
    const text = await stack.glovebox(['status']);
    expect(text.stdout).toContain(stack.state);
    const { stdout } = await stack.glovebox(['status', '--json']);
    expect(JSON.parse(stdout)).toMatchObject({ state: stack.state });
  });

  test('of a job, every process has the user, the capabilities and the limits that it should', async () => {
    const job = run([image, '--', 'sh', '-c', 'echo started >&2; sleep 8']);
    await expect.poll(() => vmm().length, { timeout: 30_000 }).toBe(1);
    const status = Object.fromEntries(
      execFileSync('cat', [`/proc/${vmm()[0]}/status`], { encoding: 'utf8' })
        .split('\n')
        .map((line) => line.split(/:\s+/) as [string, string]),
    );
    const [uid] = (status.Uid ?? '').split('\t').map(Number);
    if (process.getuid?.() === 0) expect(uid).toBeGreaterThanOrEqual(1_900_001_000);
    expect(new Set((status.Uid ?? '').split('\t')).size).toBe(1);
    expect(status).toMatchObject({ NoNewPrivs: '1', Seccomp: '2' });
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) expect(status[set]).toMatch(/^0+$/);
    await job;
  });
});

/** Process ids of the VMMs that run here. */
function vmm(): string[] {
  return execFileSync('ps', ['-eo', 'pid,args'], { encoding: 'utf8' })
    .split('\n')
    .filter((line) => /^\s*\d+ \/usr\/bin\/qemu\S* -name glovebox-j/.test(line))
    .map((line) => line.trim().split(' ')[0] as string);
}
