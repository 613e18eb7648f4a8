import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '@fumehood/client';
import type { JobRecord, LogEntry } from '@fumehood/protocol';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { long } from '../long.ts';
import { runProgram, Stack } from '../stack.ts';
import { followJob, shellJob, startWithImage } from './jobs.ts';

/** The instance grants leases of this length. */
const leaseMs = 10_000;
/** The lease runs out, then the next attempt runs. */
const timeout = 60_000;

let stack: Stack;
let client: Client;
let image: string;
let commit: string;
let directory: string;

beforeAll(async () => {
  stack = await Stack.make();
  directory = mkdtempSync(join(tmpdir(), 'crash-'));
  image = await startWithImage(stack);
  client = stack.client();
  const git = (args: string[], input = '') =>
    execFileSync('git', ['-C', directory, '-c', 'user.name=t', '-c', 'user.email=t@t', ...args], { input });
  git(['init', '-q']);
  writeFileSync(join(directory, 'file'), 'text');
  git(['add', 'file']);
  git(['commit', '-qm', 'first']);
  commit = git(['rev-parse', 'HEAD']).toString().trim();
  const pack = join(directory, 'pack');
  writeFileSync(pack, git(['pack-objects', '--revs', '--stdout', '-q'], commit));
  await client.putPack('acme/crash', commit, createReadStream(pack));
});
afterAll(async () => {
  await stack.stop();
  rmSync(directory, { recursive: true });
});

/** Writes the smallest SCIP index: empty metadata. */
const script = "sleep 1; echo attempt; printf '\\012\\000' > index.scip";

async function startJob(): Promise<JobRecord> {
  return client.createJob({
    queue: 'codeintel',
    repository: 'acme/crash',
    commit,
    indexer: { name: 'test', image, argv: ['sh', '-c', script] },
    accept: ['vm-hardware', 'vm-emulated'],
    cpus: 1,
    memoryMiB: 256,
    scratchMiB: 256,
    inspect: true,
    network: { mode: 'public' }, // its namespace is counted with what the VM leaves
  });
}

/** Resolves when a phase of the job's first attempt begins. */
async function untilPhase(id: number, key: string): Promise<void> {
  for await (const event of client.events(id)) if (event.type === 'entry' && event.entry.key === key) return;
  throw new Error(`the job ended without ${key}`);
}

interface Recovery {
  readonly job: JobRecord;
  readonly entries: LogEntry[];
  /** Virtual machines of an earlier attempt that still ran in a later attempt. */
  readonly outlived: string[];
}

/** Follows a job to its end. */
async function followRecovery(id: number): Promise<Recovery> {
  const entries = new Map<string, LogEntry>();
  const outlived: string[] = [];
  let attempt = 1;
  for await (const event of client.events(id)) {
    if (event.type !== 'entry') continue;
    entries.set(`${event.entry.attempt}.${event.entry.entry}`, event.entry);
    if (event.entry.attempt === attempt) continue;
    attempt = event.entry.attempt;
    outlived.push(...machinesOf(id).filter((name) => !name.startsWith(`fumehood-j${id}-a${attempt}-`)));
  }
  return { job: await client.job(id), entries: [...entries.values()], outlived };
}

/** Returns the names of a job's virtual machines, whoever their parent is. */
function machinesOf(id: number): string[] {
  const all = execFileSync('ps', ['-eo', 'args'], { encoding: 'utf8' });
  return [...all.matchAll(new RegExp(`-name (fumehood-j${id}-\\S+)`, 'g'))].map(
    (match) => match[1] as string,
  );
}

/** Kills the agent, and resolves when its helper has noticed. */
async function killAgent(): Promise<void> {
  const file = join(stack.state, 'run/executor.json');
  const { agentPid } = JSON.parse(readFileSync(file, 'utf8')) as { agentPid: number };
  process.kill(agentPid, 'SIGKILL');
  await expect.poll(() => existsSync(file), { timeout: leaseMs, interval: 5 }).toBe(false);
}

/** Returns the pids of all processes of the stack whose arguments name this program. */
function pidsOf(program: string): number[] {
  const all = execFileSync('ps', ['-eo', 'pid=,args='], { encoding: 'utf8' }).split('\n');
  const own = all.filter((line) => line.includes(stack.state) && line.includes(program));
  return own.map((line) => Number(line.trim().split(' ')[0]));
}
const helpers = (of: 'executor' | 'instance') => pidsOf(`/${of}-helper.mjs`);

/** Expects that the second attempt completed in every phase and left nothing behind. */
async function expectRecovered(id: number): Promise<void> {
  const { job, entries, outlived } = await followRecovery(id);
  expect(job).toMatchObject({
    state: 'completed',
    attempt: 2,
    exitCode: 0,
    inspection: { found: 0, controlFound: true },
    leftOver: { processes: 0, mounts: 0, namespaces: 0, loopDevices: 0, cgroups: 0, files: 0 },
  });
  expect(outlived).toEqual([]);
  const second = entries.filter((entry) => entry.attempt === 2);
  expect(second.map(({ exitCode }) => exitCode)).toEqual(second.map(() => 0));
  expect(second.map(({ key }) => key)).toEqual(phases);
  await expect.poll(() => stack.jobFiles(), { timeout: 5_000 }).toEqual([]);
}

const phases = [
  ...['setup.workspace', 'setup.image', 'setup.vm', 'setup.guest', 'step.docker.indexer'],
  ...['collect', 'inspect', 'upload', 'teardown.vm'],
];

describe('kill -9 of the agent', () => {
  // Each kill takes the time of a lease and another attempt.
  test.each(long ? phases.filter((key) => key !== 'teardown.vm') : ['upload'])(
    'in %s ends the VM before the lease ends, and the next attempt completes',
    async (key) => {
      const { id } = await startJob();
      await untilPhase(id, key);
      const killedAt = performance.now();
      const helper = stack.pid('executor');
      await killAgent();
      process.kill(helper, 'SIGSTOP'); // so that `up` comes before the next agent
      const up = stack.fumehood(['up']);
      await sleep(1_500);
      expect(helpers('executor')).toEqual([helper]);
      process.kill(helper, 'SIGCONT');
      expect((await up).code, (await up).stderr).toBe(0);
      expect([helpers('executor'), stack.pid('executor')]).toEqual([[helper], helper]);
      await expect.poll(() => machinesOf(id), { timeout: leaseMs }).toEqual([]);
      expect(performance.now() - killedAt).toBeLessThan(leaseMs);
      await expectRecovered(id);
    },
    timeout,
  );
});

describe("kill -9 of the executor's helper", () => {
  test.each(long ? ['setup.image', 'setup.vm', 'step.docker.indexer', 'inspect'] : ['step.docker.indexer'])(
    'in %s ends the VM before the lease ends, and the next attempt completes',
    async (key) => {
      const { id } = await startJob();
      await untilPhase(id, key);
      const killedAt = performance.now();
      process.kill(stack.pid('executor'), 'SIGKILL');
      await expect.poll(() => machinesOf(id), { timeout: leaseMs }).toEqual([]);
      expect(performance.now() - killedAt).toBeLessThan(leaseMs);
      const up = await stack.fumehood(['up']);
      expect(up.code, up.stderr).toBe(0);
      await expectRecovered(id);
    },
    timeout,
  );
});

describe('an executor that may open few files', () => {
  /** Starts the executor again with this limit, and resolves with the ends of some jobs. */
  async function jobsWith(files: number) {
    process.kill(stack.pid('executor'), 'SIGKILL');
    const argv = [process.execPath, 'packages/fumehood/bin/fumehood.mjs', 'up'];
    const env = { FUMEHOOD_STATE: stack.state };
    const up = await runProgram(['sh', '-c', `ulimit -n ${files}; exec "$@"`, 'sh', ...argv], { env });
    expect(up.code, up.stderr).toBe(0);
    const jobs = await Promise.all([1, 2, 3].map(() => client.createJob(shellJob(image, 'echo hello'))));
    return await Promise.all(jobs.map(async ({ id }) => (await followJob(stack, id)).job));
  }

  test('runs jobs with 256', async () => {
    expect((await jobsWith(256)).map(({ state }) => state)).toEqual(['completed', 'completed', 'completed']);
  });

  test('stops leasing with 38 and says why, and its helper survives', async () => {
    expect((await jobsWith(38)).map(({ state }) => state)).toEqual(['failed', 'failed', 'failed']);
    const helper = stack.pid('executor');
    const trouble = async () => (await client.status()).executors[0]?.trouble;
    await expect.poll(trouble, { timeout: 10_000 }).toContain('EMFILE');
    expect(helpers('executor')).toEqual([helper]);
  });
});

describe('`fumehood down`', () => {
  test('right after a kill -9 of the agent leaves no process', async () => {
    await killAgent();
    const down = await stack.fumehood(['down']);
    expect(down.code, down.stderr).toBe(0);
    expect(pidsOf('')).toEqual([]);
  });

  test('and `up` find what a killed `up` was starting', async () => {
    await killUp();
    const up = await stack.fumehood(['up']);
    expect(up.code, up.stderr).toBe(0);
    expect([helpers('instance'), helpers('executor')]).toEqual([
      [stack.pid('instance')],
      [stack.pid('executor')],
    ]);
    await stack.fumehood(['down']);
    await killUp();
    const down = await stack.fumehood(['down']);
    expect(down.code, down.stderr).toBe(0);
    expect(pidsOf('')).toEqual([]);
  });

  /** Starts `fumehood up`, and kills it as soon as it has started the instance's helper. */
  async function killUp(): Promise<void> {
    const env = { ...process.env, FUMEHOOD_STATE: stack.state };
    const up = spawn(process.execPath, ['packages/fumehood/bin/fumehood.mjs', 'up'], {
      env,
      stdio: 'ignore',
    });
    await expect.poll(() => helpers('instance').length, { timeout: 20_000, interval: 5 }).toBe(1);
    up.kill('SIGKILL');
    await once(up, 'exit');
  }
});
