import { execFileSync } from 'node:child_process';
import { createReadStream, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Client } from '@fumehood/client';
import type { JobRecord, LogEntry } from '@fumehood/protocol';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Stack } from '../stack.ts';
import { upWithImage } from './up.ts';

/** What the instance grants. */
const leaseMs = 10_000;
/** A lease, the next attempt, and room. */
const timeout = 60_000;

let stack: Stack;
let client: Client;
let image: string;
let commit: string;
let directory: string;

beforeAll(async () => {
  stack = await Stack.make();
  directory = mkdtempSync(join(tmpdir(), 'crash-'));
  image = await upWithImage(stack);
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

/** Its index is the smallest there is: metadata that say nothing. */
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
  });
}

/** Resolves when the phase of the first attempt has begun. */
async function begun(id: number, key: string): Promise<void> {
  for await (const event of client.events(id)) if (event.type === 'entry' && event.entry.key === key) return;
  throw new Error(`the job ended without ${key}`);
}

interface Story {
  readonly job: JobRecord;
  readonly entries: LogEntry[];
  /** Virtual machines of an earlier attempt that were there when a later one began. */
  readonly met: string[];
}

async function follow(id: number): Promise<Story> {
  const entries = new Map<string, LogEntry>();
  const met: string[] = [];
  let attempt = 1;
  for await (const event of client.events(id)) {
    if (event.type !== 'entry') continue;
    entries.set(`${event.entry.attempt}.${event.entry.entry}`, event.entry);
    if (event.entry.attempt === attempt) continue;
    attempt = event.entry.attempt;
    met.push(...machinesOf(id).filter((name) => !name.startsWith(`fumehood-j${id}-a${attempt}-`)));
  }
  return { job: await client.job(id), entries: [...entries.values()], met };
}

function machinesOf(id: number): string[] {
  const all = execFileSync('ps', ['-eo', 'args'], { encoding: 'utf8' });
  return [...all.matchAll(new RegExp(`-name (fumehood-j${id}-\\S+)`, 'g'))].map(
    (match) => match[1] as string,
  );
}

function agentPid(): number {
  const { agentPid: pid } = JSON.parse(readFileSync(join(stack.state, 'run/executor.json'), 'utf8')) as {
    agentPid: number;
  };
  return pid;
}

async function expectRecovered(id: number): Promise<void> {
  const { job, entries, met } = await follow(id);
  expect(job).toMatchObject({
    state: 'completed',
    attempt: 2,
    exitCode: 0,
    inspection: { found: 0, controlFound: true },
    leftOver: { processes: 0, mounts: 0, namespaces: 0, loopDevices: 0, cgroups: 0, files: 0 },
  });
  expect(met).toEqual([]);
  const second = entries.filter((entry) => entry.attempt === 2);
  expect(second.map(({ exitCode }) => exitCode)).toEqual(second.map(() => 0));
  expect(second.map(({ key }) => key)).toEqual(phases);
  await expect.poll(() => stack.jobFiles(), { timeout: 5_000 }).toEqual([]);
}

const phases = [
  ...['setup.workspace', 'setup.image', 'setup.vm', 'setup.guest', 'step.docker.indexer'],
  ...['collect', 'inspect', 'upload', 'teardown.vm'],
];

/** A kill costs a lease and another attempt: FUMEHOOD_PHASES=all has one in every phase. */
const all = process.env.FUMEHOOD_PHASES === 'all';

describe('kill -9 of the agent', () => {
  test.each(all ? phases.filter((key) => key !== 'teardown.vm') : ['setup.vm', 'upload'])(
    'in %s: its VM is dead before the lease ends, and the next attempt meets nothing of it',
    async (key) => {
      const { id } = await startJob();
      await begun(id, key);
      const at = performance.now();
      process.kill(agentPid(), 'SIGKILL');
      await expect.poll(() => machinesOf(id), { timeout: leaseMs }).toEqual([]);
      expect(performance.now() - at).toBeLessThan(leaseMs);
      await expectRecovered(id);
    },
    timeout,
  );
});

describe("kill -9 of the executor's helper", () => {
  test.each(all ? ['setup.image', 'setup.vm', 'step.docker.indexer', 'inspect'] : ['step.docker.indexer'])(
    'in %s: its VM is dead before the lease ends, and the next attempt meets nothing of it',
    async (key) => {
      const { id } = await startJob();
      await begun(id, key);
      const at = performance.now();
      process.kill(stack.pid('executor'), 'SIGKILL');
      await expect.poll(() => machinesOf(id), { timeout: leaseMs }).toEqual([]);
      expect(performance.now() - at).toBeLessThan(leaseMs);
      const up = await stack.fumehood(['up']);
      expect(up.code, up.stderr).toBe(0);
      await expectRecovered(id);
    },
    timeout,
  );
});
