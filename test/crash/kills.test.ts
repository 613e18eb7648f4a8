import { setTimeout as sleep } from 'node:timers/promises';
import type { JobEvent } from '@fumehood/protocol';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Stack } from '../stack.ts';
import { type Process, signal, treeOf } from './processes.ts';
import { seededRandom } from '../random.ts';
import {
  type EndedJob,
  eventsOf,
  expectNoJobFiles,
  followJob,
  shellJob,
  startWithImage,
  textOf,
} from './jobs.ts';
import { retry } from './retry.ts';

/** `FUMEHOOD_KILLS=200 npm run ci:crash` kills more often. `FUMEHOOD_SEED` repeats the kills of a failed run. */
const kills = Number(process.env.FUMEHOOD_KILLS ?? 7);
const seed = Number(process.env.FUMEHOOD_SEED ?? Date.now() % 1_000_000);
/** How many jobs run at once. */
const concurrency = 3;
const lines = 20;
const output = Array.from({ length: lines }, (_, n) => `line ${n}\n`).join('');

let stack: Stack;
let image: string;

beforeAll(async () => {
  stack = await Stack.make();
  image = await startWithImage(stack);
});
afterAll(() => stack.stop());

/** What is killed, with a function that finds it among the processes of the instance and the executor. */
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

/** A job and the promise of its end. */
interface FollowedJob {
  readonly id: number;
  readonly ended: Promise<EndedJob>;
}

/** Starts a job and follows it. The idempotency key keeps a repeated request from creating a second job. */
async function startJob(idempotencyKey: string): Promise<FollowedJob> {
  const script = `n=0; while [ $n -lt ${lines} ]; do echo line $n; n=$((n+1)); done`;
  const job = { ...shellJob(image, script), maxResets: 20, maxRetries: 20, retryPauseMs: 100 };
  const { id } = await retry(() => stack.client().createJob(job, { idempotencyKey }));
  return { id, ended: followJob(stack, id) };
}

/** Kills one process of the named kind. Returns whether there was one. */
async function kill(name: string): Promise<boolean> {
  // The file with the pid is missing while the root process restarts.
  const roots = await Promise.all([retry(() => stack.pid('instance')), retry(() => stack.pid('executor'))]);
  const victim = targets[name]?.(roots.flatMap(treeOf));
  if (!victim) return false;
  signal(victim.pid, 'SIGKILL');
  return true;
}

test(
  'kill -9 of random processes loses no job and no output, runs no job twice and leaves nothing behind',
  async () => {
    console.log(`${kills} kills, FUMEHOOD_SEED=${seed}`);
    const random = seededRandom(seed);
    const killed: Record<string, number> = {};
    const all: FollowedJob[] = [];
    const running = new Set<FollowedJob>();
    const keepBusy = async () => {
      while (running.size < concurrency) {
        const job = await startJob(`seed-${seed}-job-${all.length}`);
        all.push(job);
        running.add(job);
        void job.ended.finally(() => running.delete(job)).catch(() => {});
      }
    };
    for (let done = 0; done < kills; ) {
      await keepBusy();
      await sleep(random.int(0, 2_499));
      const name = random.pick(Object.keys(targets));
      if (!(await kill(name))) continue;
      done += 1;
      killed[name] = (killed[name] ?? 0) + 1;
      if (name.endsWith('helper')) {
        const up = await stack.fumehood(['up']);
        expect(up.code, `after a kill of ${name}: ${up.stderr}\n${stack.logs()}`).toBe(0);
      }
    }
    const ended = await Promise.all(all.map((job) => job.ended));
    expect(sum(Object.values(killed))).toBe(kills);
    for (const job of ended) await expectWhole(job);
    const attempts = sum(ended.map(({ job }) => job.attempt));
    console.log(JSON.stringify({ seed, jobs: all.length, attempts, killed }));
    await expectNoJobFiles(stack);
  },
  kills * 30_000,
);

const sum = (numbers: readonly number[]) => numbers.reduce((total, number) => total + number, 0);

/** A hint that says why a job waits. The instance sends it to those who follow the job at that time, and does not store it. */
const isHint = (event: JobEvent) => event.type === 'job' && event.job.waiting !== null;

/** Expects that one attempt completed the job with its whole output, and that the instance still has every event it sent. */
async function expectWhole({ job, events }: EndedJob): Promise<void> {
  expect(job, JSON.stringify(job)).toMatchObject({ state: 'completed', exitCode: 0 });
  const attempts = await retry(() => stack.client().attempts(job.id));
  expect(attempts.map(({ outcome }) => outcome).filter((outcome) => outcome === 'completed')).toHaveLength(1);
  expect(attempts.at(-1)).toMatchObject({ attempt: job.attempt, outcome: 'completed' });
  const stored = (await eventsOf(stack, job.id)).filter((event) => !isHint(event));
  expect(stored).toEqual(events.filter((event) => !isHint(event)));
  for (const { attempt } of attempts) {
    const text = textOf(events, attempt);
    // A lost attempt wrote a part of the output, and nothing else.
    expect(output.startsWith(text), `attempt ${attempt} of job ${job.id}: ${text}`).toBe(true);
    if (attempt === job.attempt) expect(text).toBe(output);
  }
}
