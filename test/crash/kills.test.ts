import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { JobEvent } from '@fumehood/protocol';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { busyboxImage } from '../../packages/executor/src/testing/test-images.ts';
import { long } from '../long.ts';
import { type Outcome, Stack } from '../stack.ts';
import { isAlive, signal, treeOf } from './processes.ts';
import { seededRandom } from '../random.ts';
import {
  countingOutput,
  countingScript,
  type EndedJob,
  eventsOf,
  expectNoJobFiles,
  followJob,
  shellJob,
  startWithImage,
  textOf,
  untilOutput,
  vmmOf,
} from './jobs.ts';
import { retry } from './retry.ts';
import { kill, targets } from './targets.ts';

/** `FUMEHOOD_KILLS=200 npm run ci:crash` kills more often. `FUMEHOOD_SEED` repeats the kills of a failed run. */
const kills = Number(process.env.FUMEHOOD_KILLS ?? 5);
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

/** Returns the URL of the instance for people. */
function instanceUrl(): string {
  const { url } = JSON.parse(readFileSync(join(stack.state, 'run/instance.json'), 'utf8')) as { url: string };
  return url;
}

/** How long the database is away: longer than a lease, and than an executor is taken for connected. */
const awayMs = 25_000;

/** Starts `fumehood run` of a shell script, and resolves with its job and its end when the script has written something. */
async function startRun(script: string): Promise<{ id: number; ended: Promise<Outcome> }> {
  const { file } = await busyboxImage(stack.state, 'plain');
  const jobs = async () => (await stack.client().jobs()).jobs.map(({ id }) => id);
  const before = await jobs();
  const command = ['--', 'sh', '-c', script];
  const ended = stack.fumehood(['run', '--accept', 'vm-emulated', `docker-archive:${file}`, ...command]);
  const newJob = async () => (await jobs()).find((id) => !before.includes(id));
  await expect.poll(newJob, { timeout: 20_000 }).toBeDefined();
  const id = (await newJob()) as number;
  await untilOutput(stack, id);
  return { id, ended };
}

describe('`fumehood run`', () => {
  test("goes on in the same VM when the instance's helper is killed and `up` starts another", async () => {
    const { id, ended } = await startRun(countingScript(lines * 4));
    const [executor, vmm] = [stack.pid('executor'), vmmOf(stack, id)];
    const url = instanceUrl();
    signal(stack.pid('instance'), 'SIGKILL');
    const up = await stack.fumehood(['up']);
    expect(up).toMatchObject({ code: 0, stderr: expect.not.stringContaining('restarting') as string });
    expect(instanceUrl()).toBe(url);
    expect([stack.pid('executor'), isAlive(vmm.pid)]).toEqual([executor, true]);
    expect(await ended).toMatchObject({ code: 0, stdout: countingOutput(lines * 4) });
    expect(await stack.client().attempts(id)).toMatchObject([{ attempt: 1, outcome: 'completed' }]);
  });

  test.runIf(long)(`is tried again when PostgreSQL is away for ${awayMs / 1_000} s`, async () => {
    const { id, ended } = await startRun('echo begun; sleep 4; echo done');
    const helper = stack.pid('instance');
    const postgres = targets.PostgreSQL?.(treeOf(helper));
    signal(helper, 'SIGSTOP'); // it would start PostgreSQL again at once
    signal(postgres?.pid as number, 'SIGKILL');
    await sleep(awayMs);
    signal(helper, 'SIGCONT');
    const { code, stdout, stderr } = await ended;
    expect({ code, stderr, end: stdout.endsWith('begun\ndone\n') }).toEqual({ code: 0, stderr, end: true });
    const attempts = await retry(() => stack.client().attempts(id));
    expect(attempts).toMatchObject([{ outcome: 'lost' }, { attempt: 2, outcome: 'completed' }]);
    expect(stderr).toContain('attempt 2 begins');
  });
});

test('`up` starts another executor while the instance is starting again after a kill', async () => {
  for (const name of ['PostgreSQL', 'instance', "the executor's helper"])
    expect(await kill(stack, name)).toBe(true);
  const up = await stack.fumehood(['up']);
  expect(up.code, `${up.stderr}\n${stack.logs()}`).toBe(0);
});

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
      if (!(await kill(stack, name))) continue;
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
