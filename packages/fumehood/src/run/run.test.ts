import type { Client } from '@fumehood/client';
import type { JobEvent, JobRecord, LogEntry } from '@fumehood/protocol';
import { expect, it } from 'vitest';
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

/** Runs a command at an instance that sends these events. Returns the exit code, and what the user sees. */
async function run(events: readonly JobEvent[]): Promise<{ code: number; notes: string[]; stderr: string }> {
  const client = {
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
    output: (_stream, bytes) => void (stderr += String(bytes)),
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
      job: record({ state: 'failed', failure: { reason: 'image_invalid', message: 'no image' } }),
    },
  ];
  const { code, notes } = await run(events);
  expect(code).toBe(125);
  expect(notes).toEqual([
    'attempt 2: setup.image ended with 1; its last lines:',
    '  fetching',
    '  the registry said  no',
    'no image',
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
