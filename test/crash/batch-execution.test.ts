import { setTimeout as sleep } from 'node:timers/promises';
import type { JobEvent, WorkspaceDetail } from '@fumehood/protocol';
import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest';
import { type GitServer, startGitServer } from '../../packages/git/src/testing/git-server.ts';
import { long } from '../long.ts';
import { Stack } from '../stack.ts';
import { eventsOf, expectNoJobFiles, startWithImage, vmmOf } from './jobs.ts';
import { signal } from './processes.ts';
import { expectShownIsPushed } from './pushed.ts';
import { retry } from './retry.ts';
import { kill } from './targets.ts';

/** Processes are killed while the steps of a batch spec run in VMs, and again while its branches are pushed. */
const points = ['in a step', 'after a step'] as const;
/** When a process is killed: while the first workspace that gets there runs this step, or has just ended it and not reported it yet. */
interface Round {
  readonly victim: string;
  readonly step: number;
  readonly point: (typeof points)[number];
}
const victimsWithVms = ["the executor's helper", 'agent', 'a virtual machine'];
const victims = [...victimsWithVms, 'instance', 'PostgreSQL'];
const all: Round[] = victims.flatMap((victim) =>
  points.flatMap((point) => [0, 1].map((step) => ({ victim, step, point }))),
);
const some: Round[] = [
  { victim: "the executor's helper", step: 1, point: 'in a step' },
  { victim: 'agent', step: 0, point: 'after a step' },
  { victim: 'instance', step: 1, point: 'after a step' },
  { victim: 'PostgreSQL', step: 0, point: 'in a step' },
];
const rounds = long ? all : some;
const repositories = ['acme/one', 'acme/two', 'acme/three'];
const stepCount = 2;

let stack: Stack;
let image: string;
const remotes = new Map<string, GitServer>();
beforeAll(async () => {
  stack = await Stack.make();
  image = await startWithImage(stack);
  for (const name of repositories) {
    const remote = await startGitServer();
    remotes.set(name, remote);
    remote.commit({ 'README.md': `${name}\n` });
    for (const command of [
      ['add', remote.url, '--name', name],
      ['sync', name],
    ])
      expect((await stack.fumehood(['repos', ...command])).code, stack.logs()).toBe(0);
  }
});
afterAll(async () => {
  await stack.stop();
  for (const remote of remotes.values()) remote.stop();
});

/** Each run of a step leaves another mark in its file and, as the last line, in its output. */
const stepOf = (step: number) => ({
  run: `cat /proc/sys/kernel/random/uuid > ${step}.txt; echo begun; sleep 2; cat ${step}.txt`,
  container: image,
});
const specOf = (name: string) =>
  JSON.stringify({
    ...{ version: 2, name, on: repositories.map((repository) => ({ repository })) },
    steps: Array.from({ length: stepCount }, (_, step) => stepOf(step)),
    changesetTemplate: {
      ...{ title: name, body: 'b', branch: name, published: true },
      commit: { message: name, author: { name: 'Ann', email: 'ann@example.com' } },
    },
  });

const keyOf = (step: number) => `step.docker.step.${step}`;

/** Resolves with a job when it is at this point. */
async function untilPoint(job: number, { step, point }: Round): Promise<number> {
  const entries = new Set<string>();
  for await (const event of stack.client().events(job)) {
    if (event.type === 'entry' && event.entry.key === keyOf(step)) {
      if (point === 'after a step' && event.entry.exitCode !== null) return job;
      entries.add(`${event.entry.attempt}.${event.entry.entry}`);
    }
    const isOutput = event.type === 'output' && entries.has(`${event.attempt}.${event.entry}`);
    if (point === 'in a step' && isOutput) return job;
  }
  throw new Error(`job ${job} ended without step ${step}`);
}

/** Returns the workspaces of a batch spec with what their steps have written. */
async function readWorkspaces(spec: string): Promise<WorkspaceDetail[]> {
  const { workspaces } = await stack.client().batches.workspaces(spec);
  return await Promise.all(workspaces.map(({ id }) => stack.client().batches.workspace(spec, id)));
}

/** Follows a batch spec to its end. A result that the instance has stored once must stay as it is. Returns its workspaces. */
async function followSpec(spec: string): Promise<WorkspaceDetail[]> {
  const stored = new Map<string, string>();
  for (;;) {
    const { state } = await retry(() => stack.client().batches.spec(spec));
    const workspaces = await retry(() => readWorkspaces(spec));
    for (const { repository, steps } of workspaces)
      for (const { step, stdout } of steps.filter((one) => one.state === 'completed')) {
        const place = `step ${step} of ${repository}`;
        expect(stdout, place).toBe(stored.get(place) ?? stdout);
        stored.set(place, stdout);
      }
    if (!['pending', 'queued', 'processing'].includes(state)) {
      const failures = workspaces.map(({ reason }) => reason);
      expect({ state, failures }, stack.logs()).toMatchObject({ state: 'completed' });
      return workspaces;
    }
    await sleep(200);
  }
}

/** Returns which steps of a job ran in the order in which they began, over all of its attempts. */
const stepsOf = (events: readonly JobEvent[]): number[] => {
  const begun = new Map<string, number>();
  for (const event of events) {
    const step =
      event.type === 'entry' ? /^step\.docker\.step\.(\d+)$/.exec(event.entry.key)?.[1] : undefined;
    if (event.type === 'entry' && step !== undefined)
      begun.set(`${event.entry.attempt}.${event.entry.entry}`, Number(step));
  }
  return [...begun.values()];
};

/** Kills what a round kills: of VMs that of this job. */
async function killOf({ victim }: Round, job: number): Promise<void> {
  if (victim === 'a virtual machine') signal(vmmOf(stack, job).pid, 'SIGKILL');
  else expect(await kill(stack, victim)).toBe(true);
  if (victim === "the executor's helper") await startAgain();
}

async function startAgain(): Promise<void> {
  const up = await stack.fumehood(['up']);
  expect(up.code, `${up.stderr}\n${stack.logs()}`).toBe(0);
}

/** Applies a batch spec, kills once more, and waits until its branches are pushed. */
async function publish(spec: string, round: Round): Promise<void> {
  const { id } = await stack.client().batches.apply(spec);
  await kill(stack, round.victim);
  if (round.victim === "the executor's helper") await startAgain();
  for (let pushed = 0; pushed < repositories.length; await sleep(200)) {
    const changesets = await retry(() => stack.client().batches.changesets(id));
    expect(changesets.map(({ repository }) => repository).sort()).toEqual([...repositories].sort());
    expectShownIsPushed(changesets, (repository) => remotes.get(repository) as GitServer);
    const failed = changesets.filter(({ state }) => state === 'failed');
    expect(failed).toEqual([]);
    pushed = changesets.filter(({ state }) => state === 'pushed').length;
  }
}

test.each(rounds)(
  'kill -9 of $victim $point, step $step: each workspace is complete once, no stored step runs again, and each branch is pushed once',
  async (round) => {
    onTestFailed(() => console.log(stack.logs()));
    const name = `kill-${rounds.indexOf(round)}`;
    const { id: spec } = await stack.client().batches.createSpec({
      ...{ text: specOf(name), execute: true },
      options: { accept: ['vm-emulated', 'vm-hardware'], memoryMiB: 256, scratchMiB: 256 },
    });
    const jobs = await retry(async () => {
      const { workspaces } = await stack.client().batches.workspaces(spec);
      const ids = workspaces.flatMap(({ jobId }) => jobId ?? []);
      expect(ids).toHaveLength(repositories.length);
      return ids;
    });
    await killOf(round, await Promise.race(jobs.map((job) => untilPoint(job, round))));
    const workspaces = await followSpec(spec);
    await publish(spec, round);

    let runs = 0;
    for (const { repository, jobId, state, steps } of workspaces) {
      expect(state).toBe('completed');
      const remote = remotes.get(repository) as GitServer;
      for (const { step, stdout } of steps)
        expect(stdout).toBe(`begun\n${remote.git('show', `${name}:${step}.txt`)}\n`);
      expect(remote.git('rev-list', '--count', `main..${name}`)).toBe('1');
      const attempts = await stack.client().attempts(jobId as number);
      expect(attempts.filter(({ outcome }) => outcome === 'completed')).toHaveLength(1);
      const ran = stepsOf(await eventsOf(stack, jobId as number));
      // A step begins when the result of the one before it is stored, and then that one does not run again.
      expect(ran, `the steps of ${repository}`).toEqual(ran.toSorted((a, b) => a - b));
      expect(new Set(ran)).toEqual(new Set(steps.map(({ step }) => step)));
      runs += ran.length;
    }
    const steps = repositories.length * stepCount;
    console.log(JSON.stringify({ ...round, steps, runs }));
    // The step that was killed with its VM ran again.
    if (round.point === 'in a step' && victimsWithVms.includes(round.victim))
      expect(runs).toBeGreaterThan(steps);
    await expectNoJobFiles(stack);
  },
  300_000,
);
