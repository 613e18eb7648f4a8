import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  createReadStream,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { digestOfFile } from '@fumehood/oci';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { busyboxImage } from '../../packages/executor/src/testing/test-images.ts';
import { type CommandOptions, Stack } from '../stack.ts';

const isRoot = process.getuid?.() === 0;
let stack: Stack;
let image: string;

beforeAll(async () => {
  stack = await Stack.make();
  image = `docker-archive:${(await busyboxImage(stack.state, 'plain', { env: ['FROM=image'] })).file}`;
  const up = await stack.fumehood(['up']);
  expect(up.code, up.stderr).toBe(0);
});
afterAll(() => stack.stop());
afterEach(() => expect.poll(() => stack.jobFiles(), { timeout: 5_000 }).toEqual([]));

const run = (args: readonly string[], options?: CommandOptions) =>
  stack.fumehood(['run', '--accept', 'vm-emulated', '--memory', '256', '--scratch', '256', ...args], options);

describe('fumehood run', () => {
  test('runs a command in a VM, and ends with it, its output and exit code, also when nobody writes to its stdin', async () => {
    const script = 'echo out; echo err >&2; echo "$FROM $MINE"; exit 7';
    const ended = await run(['-e', 'MINE=mine', image, '--', 'sh', '-c', script], { input: null });
    expect(ended).toMatchObject({ code: 7, stdout: 'out\nimage mine\n' });
    expect(ended.stderr.replace(/^sending the image .*\n/, '')).toBe('err\n');
  });

  test('forwards every byte of stdin, and its end', async () => {
    const input = Buffer.alloc(300_000, 'a line of input\n');
    const ended = await run([image, '--', 'sh', '-c', 'cat; echo end'], { input });
    expect(ended.code).toBe(0);
    expect(ended.stdout === `${input.toString()}end\n`).toBe(true);
  });

  test('exits with 124 after the timeout', async () => {
    const ended = await run(['--timeout', '1', '--stop-timeout', '1', image, '--', 'sleep', '60']);
    expect(ended.code).toBe(124);
    expect(ended.stderr).toMatch(/1 s/);
    expect(ended.stderr).not.toMatch(/^\s+at /m);
  });

  test('exits with 127 for a program that is not in the image, and names it', async () => {
    const ended = await run([image, '--', 'no-such-program']);
    expect(ended.code).toBe(127);
    expect(ended.stderr).toContain('no-such-program');
  });

  test('accepts only hardware virtualization by default, and exits with 3 without it, with the option to use', async () => {
    const { stdout } = await stack.fumehood(['status', '--json']);
    const { tiers } = (JSON.parse(stdout) as { report: { tiers: string[] } }).report;
    const ended = await stack.fumehood(['run', image, '--', 'echo', 'hello']);
    if (tiers.includes('vm-hardware')) return expect(ended).toMatchObject({ code: 0, stdout: 'hello\n' });
    expect(ended).toMatchObject({ code: 3, stdout: '' });
    expect(ended.stderr).toContain('--accept vm-emulated');
  });

  test('stops the job on Ctrl-C, shows what the command says before it ends, and exits with 130', async () => {
    const script = 'trap "echo asked; exit 7" TERM; echo started >&2; while :; do sleep 0.1; done';
    const ended = await run([image, '--', 'sh', '-c', script], { interruptAt: /started/ });
    expect(ended.code).toBe(130);
    expect(ended.stdout).toBe('asked\n');
  });

  test('ends quietly when the reader of its output is gone, and its job ends', async () => {
    const ended = await run(['--stop-timeout', '1', image, '--', 'sh', '-c', 'while :; do echo y; done'], {
      closeAfter: 1,
    });
    expect(ended.code).toBe(141);
    expect(ended.stderr.replace(/^sending the image .*\n/, '')).toBe('');
    await expect.poll(() => stack.jobFiles(), { timeout: 20_000 }).toEqual([]);
    const { stdout } = await stack.fumehood(['jobs', 'list', '--limit', '1', '--json']);
    expect(stdout).toContain('"canceled"');
  });

  test('has every byte of 20 MiB of output, and says nothing of its own', async () => {
    const bytes = 20 * 2 ** 20;
    const ended = await run([image, '--', 'head', '-c', String(bytes), '/dev/zero']);
    expect(ended.stdout.length).toBe(bytes);
    expect(ended.stderr.replace(/^sending the image .*\n/, '')).toBe('');
    expect(ended.code).toBe(0);
  });

  test('prints the job as one JSON object with --json, and its output on stderr', async () => {
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

test('a command has a secret in its environment, and no log, record or file of the state directory has the value', async () => {
  const value = 'npm_value-of-the-secret';
  const set = await stack.fumehood(['secrets', 'set', 'NPM_TOKEN'], { input: `${value}\n` });
  expect(set).toMatchObject({ code: 0, stdout: '' });
  expect((await stack.fumehood(['secrets', 'list'])).stdout).toMatch(/^NPM_TOKEN  2/m);
  const script = 'echo "it is $NPM_TOKEN of ${#NPM_TOKEN} characters"';
  const ran = await run(['--json', '--secret', 'NPM_TOKEN', image, '--', 'sh', '-c', script]);
  expect(ran.stderr).toContain('it is [secret NPM_TOKEN] of 23 characters\n');
  const { id } = JSON.parse(ran.stdout.trim().split('\n').at(-1) ?? '') as { id: number };
  expect((await stack.fumehood(['jobs', 'show', String(id)])).stdout).toMatch(
    /^secrets +NPM_TOKEN: its command/m,
  );
  const logged = await stack.fumehood(['jobs', 'logs', '--phases', String(id)]);
  expect(logged.stdout + logged.stderr).toContain('secrets exposed: the steps can read NPM_TOKEN');
  const searched = spawnSync('grep', ['-rlF', '--devices=skip', value, stack.state], { encoding: 'utf8' });
  expect(searched).toMatchObject({ status: 1, stdout: '' });
  const unknown = await run(['--secret', 'NOPE', image]);
  expect(unknown).toMatchObject({ code: 1, stderr: expect.stringContaining('fumehood secrets set NOPE') });
});

describe('a running system', () => {
  test('has a status with its state directory, as text and as JSON', async () => {
    const text = await stack.fumehood(['status']);
    expect(text.stdout).toContain(stack.state);
    const { stdout } = await stack.fumehood(['status', '--json']);
    expect(JSON.parse(stdout)).toMatchObject({ state: stack.state });
  });

  test('runs a job as users without an account, without capabilities, and outside of the namespaces of the host', async () => {
    const job = run([image, '--', 'sleep', '6']);
    await expect.poll(() => vmmPids().length, { timeout: 30_000 }).toBe(1);
    const [pid = ''] = vmmPids();
    // QEMU sets its seccomp filter shortly after its start.
    await expect.poll(() => statusOf(pid).Seccomp, { timeout: 10_000 }).toBe('2');
    const { agentPid } = JSON.parse(readFileSync(join(stack.state, 'run/executor.json'), 'utf8')) as {
      agentPid: number;
    };
    const users = [pid, agentPid].map((one) => {
      const status = statusOf(one);
      expect(status.NoNewPrivs).toBe('1');
      for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'])
        expect(status[set], set).toMatch(/^0+$/);
      const ids = `${status.Uid}\t${status.Gid}`.split('\t');
      expect(new Set(ids).size).toBe(1);
      return Number(ids[0]);
    });
    if (isRoot) expect(users).toEqual([firstVmUid, agentUid]);
    const kinds = readdirSync('/proc/self/ns').filter((kind) => !/time|_for_children/.test(kind));
    for (const kind of kinds) expect(namespaceOf(pid, kind), kind).not.toBe(namespaceOf('self', kind));
    expect((await job).code).toBe(0);
  });

  test.skipIf(!isRoot)(
    'lets no other user open a file or directory of a tenant, even by its exact name',
    async () => {
      expect((await run([image, '--', 'echo'])).code).toBe(0);
      const below = (name: string) =>
        readdirSync(join(stack.state, name), { recursive: true, encoding: 'utf8' }).map((file) =>
          join(stack.state, name, file),
        );
      const tenants = ['executor/disks', 'executor/blobs', 'executor/work', 'instance', 'vms'].flatMap(below);
      const kinds = [/disks\/image-\w+\.sqfs$/m, /executor\/blobs\/\S+$/m, /instance\/blobs\/\S+$/m];
      for (const kind of kinds) expect(tenants.join('\n')).toMatch(kind);
      expect(openableBy65534(tenants)).toEqual([]);
      const known = join(stack.state, 'run/executor.json');
      expect(openableBy65534([...tenants, known])).toEqual([known]);
      // Handles that need no right to the file itself: they are the rest of the defense.
      for (const name of ['executor/disks', 'executor/blobs', 'instance'])
        chmodSync(join(stack.state, name), 0o711);
      expect(openableBy65534(tenants).length).toBeGreaterThan(0);
      for (const name of ['executor/disks', 'executor/blobs', 'instance'])
        chmodSync(join(stack.state, name), 0o710);
    },
  );
});

test('a job of an indexer has its commit and uploads its index: the helpers run all the programs that this takes', async () => {
  const repository = join(stack.state, 'repository');
  const git = (...args: string[]) =>
    execFileSync('git', ['-C', repository, '-c', 'user.name=t', '-c', 'user.email=t@t', ...args]);
  mkdirSync(repository);
  git('init', '-q');
  writeFileSync(join(repository, 'file'), 'a file\n');
  git('add', '-A');
  git('commit', '-qm', 'x');
  const commit = git('rev-parse', 'HEAD').toString().trim();
  const pack = execFileSync('git', ['-C', repository, 'pack-objects', '--stdout', '--quiet', '--revs'], {
    input: `${commit}\n`,
  });
  const client = stack.client();
  await client.putPack('acme/plain', commit, Readable.from([pack]));
  const file = image.replace('docker-archive:', '');
  const digest = await digestOfFile(file);
  await client.putBlob(digest, createReadStream(file), statSync(file).size);
  const script = "test -f file && printf '\\n\\0' > index.scip";
  const { id } = await client.createJob({
    ...{ queue: 'codeintel', repository: 'acme/plain', commit, network: { mode: 'none' } },
    indexer: { name: 'scip-typescript', image: digest, argv: ['sh', '-c', script] },
    ...{ accept: ['vm-hardware', 'vm-emulated'], cpus: 1, memoryMiB: 256, scratchMiB: 256 },
  });
  const { stdout, stderr } = await stack.fumehood(['jobs', 'logs', String(id), '--follow', '--phases']);
  const job = await client.job(id);
  expect(job, stdout + stderr + JSON.stringify(job.failure)).toMatchObject({ state: 'completed' });
  expect(job.uploadId).not.toBeNull();
});

/** Returns the paths that a user without any right can open, if only as a handle (`O_PATH`). */
function openableBy65534(paths: readonly string[]): string[] {
  const script =
    'while (<STDIN>) { chomp; print "$_\\n" if sysopen(my $f, $_, 0x200000) || sysopen(my $f, $_, 0) }';
  const foreign = ['--reuid=65534', '--regid=65534', '--clear-groups', '--no-new-privs'];
  return execFileSync('setpriv', [...foreign, 'perl', '-e', script], {
    input: `${paths.join('\n')}\n`,
    encoding: 'utf8',
  })
    .split('\n')
    .filter(Boolean);
}

/** As in `packages/fumehood/src/up/identities.ts`. */
const agentUid = 1_900_000_001;
const firstVmUid = 1_900_001_000;

function statusOf(pid: string | number): Record<string, string | undefined> {
  const lines = readFileSync(`/proc/${pid}/status`, 'latin1').split('\n');
  return Object.fromEntries(lines.map((line) => line.split(/:\s+/) as [string, string]));
}

const namespaceOf = (pid: string, kind: string) => readlinkSync(`/proc/${pid}/ns/${kind}`);

/** Returns the pids of the VMMs that are running. */
function vmmPids(): string[] {
  return execFileSync('ps', ['-eo', 'pid,args'], { encoding: 'utf8' })
    .split('\n')
    .filter((line) => /^\s*\d+ \/usr\/bin\/qemu\S* -name fumehood-j/.test(line))
    .map((line) => line.trim().split(' ')[0] as string);
}
