import type { Client } from '@fumehood/client';
import type { JobEvent, JobRecord, LogEntry } from '@fumehood/protocol';
import { beforeEach, expect, it } from 'vitest';
import { runCommand } from './run.ts';

const entry = (key: string, number: number, exitCode: number | null, attempt = 2): LogEntry => ({
  entry: number,
  attempt,
  key,
  command: [],
  startTime: '',
  durationMs: exitCode === null ? null : 1,
  exitCode,
});
const output = (number: number, text: string): JobEvent => ({
  type: 'output',
  attempt: 2,
  entry: number,
  stream: 'stderr',
  offset: 0,
  data: Buffer.from(text).toString('base64'),
});
const record = (facts: Partial<JobRecord>) =>
  ({ id: 1, attempt: 2, waiting: null, failure: null, exitCode: null, ...facts }) as JobRecord;

let canceled: number[] = [];
beforeEach(() => {
  canceled = [];
});

/** Runs a command at an instance that sends these events. Returns the exit code, and what the user sees. */
async function run(
  events: readonly JobEvent[],
  write?: () => Promise<void>,
): Promise<{ code: number; notes: string[]; stderr: string }> {
  const client = {
    cancel: async (id: number) => void canceled.push(id),
    createJob: async () => record({ state: 'queued' }),
    events: async function* () {
      yield* events;
    },
  } as unknown as Client;
  const notes: string[] = [];
  let stderr = '';
  const { code } = await runCommand(client, {
    job: { queue: 'runs' } as never,
    stdin: null,
    output: write ?? ((_stream, bytes) => void (stderr += String(bytes))),
    note: (...lines) => void notes.push(...lines),
  });
  return { code, notes, stderr };
}

it('a job that fails outside of its command shows the last lines of the phase that failed', async () => {
  const events: JobEvent[] = [
    { type: 'entry', entry: entry('setup.image', 1, 1, 1) }, // of an attempt that was tried again
    { type: 'entry', entry: entry('setup.image', 1, null) },
    output(1, 'fetching\nthe registry said\tno\n'),
    { type: 'entry', entry: entry('setup.image', 1, 1) },
    {
      type: 'job',
      job: record({ state: 'failed', failure: { reason: 'image_invalid', message: 'no image\nBuild it.' } }),
    },
  ];
  const { code, notes } = await run(events);
  expect(code).toBe(125);
  expect(notes).toEqual([
    'attempt 2: setup.image ended with 1; its last lines:',
    '  fetching',
    '  the registry said  no',
    'no image',
    'Build it.',
  ]);
});

it('a command that fails has shown its output already', async () => {
  const { code, notes, stderr } = await run([
    { type: 'entry', entry: entry('step.docker.0', 1, null) },
    output(1, 'of the command\n'),
    { type: 'entry', entry: entry('step.docker.0', 1, 3) },
    {
      type: 'job',
      job: record({ state: 'failed', exitCode: 3, failure: { reason: 'step_failed', message: 'x' } }),
    },
  ]);
  expect({ code, notes, stderr }).toEqual({ code: 3, notes: [], stderr: 'of the command\n' });
});

it('the job is canceled when its output cannot be written', async () => {
  const gone = new Error('the reader is gone');
  const events: JobEvent[] = [
    { type: 'entry', entry: entry('step.docker.0', 1, null) },
    output(1, 'y'),
    output(1, 'y'),
  ];
  await expect(run(events, () => Promise.reject(gone))).rejects.toBe(gone);
  expect(canceled).toEqual([1]);
});

it.each([
  [0, 4],
  [3, 3],
])('a command that ends with %i and lost a part of its output: %i, and how much', async (own, code) => {
  const ended = { ...entry('step.docker.0', 1, own), droppedBytes: { stdout: 4096, stderr: 0 } };
  const failure = own === 0 ? {} : { failure: { reason: 'step_failed', message: 'x' } as const };
  const state = own === 0 ? 'completed' : 'failed';
  const ran = await run([
    // The first word that bytes are dropped comes while the step runs; the count is not the last one.
    { type: 'entry', entry: { ...entry('step.docker.0', 1, null), droppedBytes: { stdout: 1, stderr: 0 } } },
    { type: 'entry', entry: ended },
    { type: 'job', job: record({ state, exitCode: own, ...failure }) },
  ]);
  expect(ran.code).toBe(code);
  expect(ran.notes).toEqual([expect.stringContaining('dropped 4096 bytes of stdout,')]);
});
