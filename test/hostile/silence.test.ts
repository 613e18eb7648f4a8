import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { nothingLeft, TestAgent } from '../../packages/executor/src/testing/test-agent.ts';
import { type Change, changedGuest } from './guest.ts';
import { long } from '../long.ts';

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'silence-'));
});
afterAll(() => rmSync(directory, { recursive: true }));

const ignoresDeadline: Change = [
  'runner.c',
  'request->deadline > 0 ? step.started + request->deadline : 0',
  '0',
];
const sleep = ['sh', '-c', 'echo runs; sleep 4; echo still runs'];

/** Runs a job with a deadline of 1 s in a guest whose init ignores deadlines. */
async function runPastDeadline(reportMs: number) {
  const agent = await TestAgent.start(changedGuest(directory, [ignoresDeadline]), undefined, { reportMs });
  try {
    const image = await agent.putImage('plain');
    const mark = await agent.run(
      { dockerSteps: [{ image, argv: sleep }] },
      { deadlineMs: 1_000, stopGraceMs: 0 },
    );
    expect(agent.instance.result).toMatchObject({ leftOver: nothingLeft });
    return { mark, output: agent.instance.output('step.docker.0') };
  } finally {
    await agent.stop();
  }
}

test('a guest whose init ignores the deadline of the job is killed by the host', async () => {
  const { mark, output } = await runPastDeadline(500);
  expect(mark).toMatchObject({ operation: 'markFailed', reason: 'deadline' });
  expect(output).toBe('runs\n');
});

test.runIf(long)(
  'a guest whose init ignores the deadline runs past it when the host keeps no deadline',
  async () => {
    const { mark, output } = await runPastDeadline(60_000);
    expect(mark).toEqual({ operation: 'markComplete' });
    expect(output).toBe('runs\nstill runs\n');
  },
);

test('a guest whose init does not say that the disks are mounted is killed, and the job may run again', async () => {
  const change: Change = [
    'commands.c',
    'frame->count == 2) return pong(frame);',
    'frame->count == 2) { if (0) pong(frame); return; }',
  ];
  const agent = await TestAgent.start(changedGuest(directory, [change]), undefined, { setupMs: 2_000 });
  try {
    const image = await agent.putImage('plain');
    const mark = await agent.run({ dockerSteps: [{ image }] });
    expect(mark).toMatchObject({ operation: 'markErrored', reason: 'guest_silent' });
    expect(agent.instance.result).toMatchObject({ leftOver: nothingLeft });
  } finally {
    await agent.stop();
  }
});
