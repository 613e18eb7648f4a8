import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import { localSpawn } from '@fumehood/base';
import { type Job, type NextStep, nextStepSchema, stepDiffSchema } from '@fumehood/protocol';
import type { Person } from '../../auth/people.ts';
import type { Connection } from '../../config.ts';
import { openMirrors } from '../../repos/mirrors.ts';
import {
  extendLease,
  startTestInstance,
  type TestInstance,
  type TestSettings,
} from '../../testing/instance.ts';
import { mirrorSource, storeMirrored } from '../../testing/mirrored.ts';
import { makeSource } from '../../testing/source.ts';

/** Returns a user of a test. */
export const personOf = (name: string): Person => ({
  ...{ userId: 0, name, admin: false, scopes: [] },
  token: { name: 't', expiresAt: null },
});

/** Starts an instance that mirrors one repository, `acme/api`, with a `README.md`, under these names. Returns it with the repository's commit. */
export async function startWithMirror(
  connection: Connection,
  names: readonly string[],
  settings: TestSettings = {},
): Promise<{ readonly instance: TestInstance; readonly commit: string }> {
  const isRoot = process.getuid?.() === 0;
  const spawn = localSpawn(isRoot ? { uid: 1_900_000_007, gid: process.getgid?.() ?? 0 } : null);
  const instance = await startTestInstance(connection, { spawn, batches: null, ...settings });
  chmodSync(join(instance.directory, 'repositories'), 0o711);
  const mirrors = await openMirrors(join(instance.directory, 'repositories'), spawn);
  const source = makeSource();
  const commit = source.add('README.md', 'hello\n');
  const mirrored = await mirrorSource(mirrors, source);
  for (const name of names) await storeMirrored(instance.db, name, mirrored);
  source.remove();
  return { instance, commit };
}

/** Returns the diff of a workspace in which these files were added, with one line each. */
export const addedFiles = (...names: string[]): string =>
  names
    .map((name) =>
      [
        ...[`diff --git ${name} ${name}`, 'new file mode 100644', 'index 0000000..ce01362'],
        ...['--- /dev/null', `+++ ${name}`, '@@ -0,0 +1 @@', '+hello', ''],
      ].join('\n'),
    )
    .join('');

/** What a step of a scripted executor leaves. */
export interface Left {
  readonly diff: string;
  readonly stdout?: string;
}

/** An attempt of a job by an executor that runs nothing. */
export interface Attempt {
  readonly job: Job;
  /** Asks for the first step. */
  readonly begin: () => Promise<NextStep>;
  /** Reports the end of a step, and returns what is next. */
  readonly end: (step: number, left: Left) => Promise<NextStep>;
  readonly routes: ReturnType<ReturnType<TestInstance['executor']>['job']>;
}

/** Leases the next job of a batch change; null: none can be leased. */
export async function leaseAttempt(instance: TestInstance, executor = 'e1'): Promise<Attempt | null> {
  const job = await instance.lease({ executor, queues: ['batches'], waitMs: 8_000 });
  if (job === null) return null;
  await extendLease(instance, job);
  const routes = instance.executor({ name: executor }).job(job);
  const answerOf = async (response: Response): Promise<unknown> => {
    if (response.status !== 200) throw new Error(await response.text());
    return await response.json();
  };
  const next = async (response: Response) => nextStepSchema.parse(await answerOf(response));
  return {
    job,
    routes,
    begin: async () => await next(await routes.nextStep(null)),
    async end(step, { diff, stdout = '' }) {
      const { digest } = stepDiffSchema.parse(await answerOf(await routes.stepDiff(step, diff)));
      return await next(await routes.nextStep({ step, stdout, stderr: '', diff: digest }));
    },
  };
}

/** Runs the next job of a batch change to its end: each step leaves what `left` says. Returns the numbers of the steps that ran. */
export async function runNext(
  instance: TestInstance,
  left: (step: number) => Left = (step) => ({ diff: addedFiles(`${step}.txt`) }),
): Promise<number[]> {
  const attempt = await leaseAttempt(instance);
  if (attempt === null) throw new Error('there is no job');
  const ran: number[] = [];
  let { next } = await attempt.begin();
  while (next !== null) {
    ran.push(next.step);
    ({ next } = await attempt.end(next.step, left(next.step)));
  }
  await attempt.routes.complete();
  return ran;
}
