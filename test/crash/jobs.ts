import { createReadStream, statSync } from 'node:fs';
import type { CreateJob, JobEvent, JobRecord } from '@fumehood/protocol';
import { expect } from 'vitest';
import { busyboxImage } from '../../packages/executor/src/testing/test-images.ts';
import type { Stack } from '../stack.ts';
import { type Process, treeOf } from './processes.ts';
import { retry } from './retry.ts';

/** Starts instance and executor, and uploads an image that has a shell. Returns the digest of the image. */
export async function startWithImage(stack: Stack): Promise<string> {
  const up = await stack.fumehood(['up']);
  expect(up.code, up.stderr).toBe(0);
  const { file, digest } = await busyboxImage(stack.state, 'plain');
  await stack.client().putBlob(digest, createReadStream(file), statSync(file).size);
  return digest;
}

/** Returns a small job that runs a shell script in any virtual machine. */
export function shellJob(image: string, script: string): CreateJob {
  return {
    queue: 'runs',
    image,
    argv: ['sh', '-c', script],
    accept: ['vm-hardware', 'vm-emulated'],
    memoryMiB: 192,
    scratchMiB: 64,
  };
}

/** Prints ten lines a second, until the job is canceled. */
export const endlessScript = 'while :; do echo tick; sleep 0.1; done';
/** Returns a script that prints the numbers below `count`, ten a second. */
export const countingScript = (count: number) =>
  `n=0; while [ $n -lt ${count} ]; do echo $n; n=$((n+1)); sleep 0.1; done`;
/** Returns the whole output of the counting script. */
export const countingOutput = (count: number) => Array.from({ length: count }, (_, n) => `${n}\n`).join('');

/** Resolves with the events of a job when the job has ended. */
export async function eventsOf(stack: Stack, id: number): Promise<JobEvent[]> {
  const events: JobEvent[] = [];
  // The client resumes after the last event that it yielded, across restarts of the instance.
  for await (const event of stack.client().events(id)) events.push(event);
  return events;
}

/** A job that has ended. */
export interface EndedJob {
  readonly job: JobRecord;
  readonly events: JobEvent[];
}

/** Follows a job to its end, across restarts of the instance. */
export async function followJob(stack: Stack, id: number): Promise<EndedJob> {
  const events = await eventsOf(stack, id);
  return { job: await retry(() => stack.client().job(id)), events };
}

/** Returns a function that returns the output of a step that an event carries: '' if it carries none. */
function stepTextReader(): (event: JobEvent) => string {
  const steps = new Set<string>();
  return (event) => {
    if (event.type === 'entry' && event.entry.key.startsWith('step.'))
      steps.add(`${event.entry.attempt}.${event.entry.entry}`);
    if (event.type !== 'output' || !steps.has(`${event.attempt}.${event.entry}`)) return '';
    return Buffer.from(event.data, 'base64').toString();
  };
}

/** Returns the output of the steps of an attempt, as the events report it. */
export function textOf(events: readonly JobEvent[], attempt: number): string {
  const stepText = stepTextReader();
  return events
    .filter((event) => event.type !== 'output' || event.attempt === attempt)
    .map((event) => stepText(event))
    .join('');
}

/** Yields the output of a job's steps as it arrives. */
export async function* stepOutput(stack: Stack, id: number): AsyncGenerator<string> {
  const stepText = stepTextReader();
  for await (const event of stack.client().events(id)) {
    const text = stepText(event);
    if (text !== '') yield text;
  }
}

/** Resolves at the first output of a job's step. Rejects if the job ends without any. */
export async function untilOutput(stack: Stack, id: number): Promise<void> {
  for await (const text of stepOutput(stack, id)) if (text !== '') return;
  throw new Error(`job ${id} ended without output`);
}

/** Returns the VMM that runs a job. */
export function vmmOf(stack: Stack, id: number): Process {
  const tree = treeOf(stack.pid('executor'));
  const vmm = tree.find(({ command }) => command.includes(`-name fumehood-j${id}-`));
  if (!vmm) throw new Error(`no VMM of job ${id} among ${JSON.stringify(tree)}`);
  return vmm;
}

/** Expects that the first attempt of a job wrote nothing after the second one began. */
export function expectFirstAttemptFenced(events: readonly JobEvent[]): void {
  const secondAt = events.findIndex((event) => event.type === 'job' && event.job.attempt === 2);
  expect(secondAt, 'the event that the second attempt began').toBeGreaterThanOrEqual(0);
  const late = events.slice(secondAt).filter((event) => event.type !== 'job');
  expect(late, 'what the first attempt wrote after the second one began').toEqual([]);
}

/** Expects that instance and executor soon have no file of a job or of a virtual machine. */
export async function expectNoJobFiles(stack: Stack): Promise<void> {
  await expect.poll(() => stack.jobFiles(), { timeout: 15_000 }).toEqual([]);
}
