import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '@fumehood/client';
import type { JobEvent, JobRecord } from '@fumehood/protocol';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Stack } from '../stack.ts';
import { type Process, signal, treeOf } from './processes.ts';
import { seededRandom } from '../random.ts';
import { textOf } from './output.ts';
import { upWithImage } from './up.ts';

/** `FUMEHOOD_KILLS=200 npm run ci:crash` makes more of them; a failure is done again with its `FUMEHOOD_SEED`. */
const kills = Number(process.env.FUMEHOOD_KILLS ?? 7);
const seed = Number(process.env.FUMEHOOD_SEED ?? Date.now() % 1_000_000);
/** Jobs that are there at once. */
const width = 3;
const lines = 20;
const output = Array.from({ length: lines }, (_, n) => `line ${n}\n`).join('');

let stack: Stack;
let image: string;

beforeAll(async () => {
  stack = await Stack.make();
  image = await upWithImage(stack);
});
afterAll(() => stack.stop());

/** What may be killed, and how it is found among the processes of the instance and the executor. */
const targets: Readonly<Record<string, (tree: readonly Process[]) => Process | undefined>> = {
  "the executor's helper": (tree) => tree.find(({ command }) => command.includes('/executor-helper.mjs')),
  agent: (tree) => tree.find(({ command }) => command.includes('/agent.mjs')),
  'a virtual machine': (tree) => tree.find(({ command }) => /qemu-system\S* .*-name fumehood-/.test(command)),
  "the instance's helper": (tree) => tree.find(({ command }) => command.includes('/instance-helper.mjs')),
  instance: (tree) => tree.find(({ command }) => command.includes('/instance.mjs')),
  PostgreSQL: (tree) => tree.find(({ command }) => /\/postgres -D /.test(command)),
  'a backend of PostgreSQL': (tree) =>
    tree.findLast(({ command }) => command.startsWith('postgres: fumehood')),
};

/** Its file is not there while what it names is being started again. */
async function rootPid(of: 'instance' | 'executor'): Promise<number> {
  for (let tries = 0; ; tries += 1) {
    try {
      return stack.pid(of);
    } catch (error) {
      if (tries > 300) throw error;
      await sleep(100);
    }
  }
}

/** The instance's answer, however often it is away; nothing that is repeated here may be done twice. */
async function insist<T>(ask: (client: Client) => Promise<T>): Promise<T> {
  for (let tries = 0; ; tries += 1) {
    try {
      return await ask(stack.client());
    } catch (error) {
      if (tries > 120) throw error;
      await sleep(250);
    }
  }
}

/** A job that somebody follows: what was told once must stay told. */
interface Followed {
  readonly id: number;
  readonly seen: JobEvent[];
  readonly ended: Promise<JobRecord>;
}

/** Why a job waits is said to who is there, and kept nowhere. */
const isHint = (event: JobEvent) => event.type === 'job' && event.job.waiting !== null;

async function startJob(key: string): Promise<Followed> {
  const { id } = await insist((client) =>
    client.createJob(
      {
        queue: 'runs',
        image,
        argv: ['sh', '-c', `n=0; while [ $n -lt ${lines} ]; do echo line $n; n=$((n+1)); done`],
        accept: ['vm-hardware', 'vm-emulated'],
        memoryMiB: 192,
        scratchMiB: 64,
        maxResets: 20,
        maxRetries: 20,
        retryPauseMs: 100,
      },
      { idempotencyKey: key },
    ),
  );
  const seen: JobEvent[] = [];
  const follow = async () => {
    // The client resumes after the last event that it has given, over restarts of the instance.
    for await (const event of stack.client().events(id)) if (!isHint(event)) seen.push(event);
    return insist((client) => client.job(id));
  };
  return { id, seen, ended: follow() };
}

test(
  'kill -9 of whatever it hits: nothing is lost, nothing done twice, nothing left',
  async () => {
    console.log(`${kills} kills, FUMEHOOD_SEED=${seed}`);
    const random = seededRandom(seed);
    const hit: Record<string, number> = {};
    const all: Followed[] = [];
    const running = new Set<Followed>();
    let done = 0;
    const keepBusy = async () => {
      while (running.size < width) {
        const job = await startJob(`seed ${seed} job ${all.length}`.replaceAll(' ', '-'));
        all.push(job);
        running.add(job);
        void job.ended.finally(() => running.delete(job)).catch(() => {});
      }
    };
    while (done < kills) {
      await keepBusy();
      await sleep(random.int(0, 2_499));
      const name = random.pick(Object.keys(targets));
      const roots = await Promise.all([rootPid('instance'), rootPid('executor')]);
      const tree = roots.flatMap(treeOf);
      const victim = targets[name]?.(tree);
      if (!victim) continue;
      signal(victim.pid, 'SIGKILL');
      done += 1;
      hit[name] = (hit[name] ?? 0) + 1;
      if (name.endsWith('helper')) {
        const up = await stack.fumehood(['up']);
        expect(up.code, `after a kill of ${name}: ${up.stderr}`).toBe(0);
      }
    }
    const records = await Promise.all(all.map((job) => job.ended));
    expect(Object.values(hit).reduce((sum, count) => sum + count)).toBe(kills);
    for (const [n, record] of records.entries()) await expectWhole(record, (all[n] as Followed).seen);
    // The numbers are the measure of the test: what was killed, and how many jobs went through it.
    console.log(JSON.stringify({ seed, jobs: all.length, attempts: sum(records), hit }));
    await expect.poll(() => stack.jobFiles(), { timeout: 15_000 }).toEqual([]);
  },
  kills * 30_000,
);

const sum = (records: readonly JobRecord[]) => records.reduce((total, { attempt }) => total + attempt, 0);

/** One attempt completed it; its output is there once and whole, and all that was told before a kill is still so. */
async function expectWhole(record: JobRecord, seen: readonly JobEvent[]): Promise<void> {
  expect(record, JSON.stringify(record)).toMatchObject({ state: 'completed', exitCode: 0 });
  const attempts = await insist((client) => client.attempts(record.id));
  expect(attempts.map(({ outcome }) => outcome).filter((outcome) => outcome === 'completed')).toHaveLength(1);
  expect(attempts.at(-1)).toMatchObject({ attempt: record.attempt, outcome: 'completed' });
  const now: JobEvent[] = [];
  for await (const event of stack.client().events(record.id)) if (!isHint(event)) now.push(event);
  expect(now).toEqual(seen);
  for (const { attempt } of attempts) {
    const text = textOf(seen, attempt);
    // A lost attempt told a part of it, never another thing.
    expect(output.startsWith(text), `attempt ${attempt} of job ${record.id}: ${text}`).toBe(true);
    if (attempt === record.attempt) expect(text).toBe(output);
  }
}
