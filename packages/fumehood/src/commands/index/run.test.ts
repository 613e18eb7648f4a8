import type { Client } from '@fumehood/client';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { makeProgram } from '../../program.ts';

const image = `sha256:${'f'.repeat(64)}`;
const made = {
  ...{ repository: 'acme/greeter', commit: 'c'.repeat(40), source: 'inferred', notes: [] },
  jobs: [
    { root: '', indexer: image, commands: [], steps: [], reason: 'tsconfig.json', jobId: 7, isEarlier: true },
  ],
};
const waiting = { reason: 'tier', message: 'it accepts vm-hardware', remedy: 'Accept another one.' };
const record = { id: 7, state: 'queued', failure: null, waiting: null };

/** The records of the job that the instance sends, in order. */
let records: object[];
const client = {
  code: { index: async () => made },
  async *events() {
    for (const job of records) yield { type: 'job', job };
  },
} as unknown as Client;
vi.mock('../../up/running.ts', () => ({ runningClient: async () => client }));

let printed: { stdout: string; stderr: string };
beforeEach(() => {
  vi.stubEnv('FUMEHOOD_STATE', '/nonexistent');
  printed = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const)
    vi.spyOn(process[name], 'write').mockImplementation((text) => {
      printed[name] += String(text);
      return true;
    });
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  process.exitCode = 0;
});

async function index(...args: string[]) {
  await makeProgram().parseAsync(['node', 'fumehood', 'index', 'acme/greeter', ...args]);
  return { ...printed, code: process.exitCode ?? 0 };
}

it('--wait says once why no executor can run a job, and how to ask for another one', async () => {
  records = [record, { ...record, waiting }, { ...record, waiting }, { ...record, state: 'completed' }];
  const { stderr, code } = await index('--wait');
  expect({ lines: stderr.split('\n'), code }).toEqual({
    lines: [
      'waiting for job 7',
      'job 7 waits: it accepts vm-hardware',
      '  Accept another one.',
      expect.stringMatching(/^ {2}To ask with other options, `.*fumehood jobs cancel 7` first\.$/) as string,
      '',
    ],
    code: 0,
  });
});

it('--wait names a job that failed, and exits with 1', async () => {
  records = [{ ...record, state: 'failed', failure: { reason: 'step_failed', message: 'exit code 3' } }];
  expect(await index('--wait')).toMatchObject({
    stderr: 'waiting for job 7\njob 7 failed: exit code 3\n',
    code: 1,
  });
});

it('shows the beginning of an image’s digest', async () => {
  const { stdout } = await index();
  expect(stdout.split('\n')[0]).toBe('acme/greeter at cccccccccccc: 1 job, inferred');
  expect(stdout).toMatch(/^7 \(earlier\) +\. +sha256:ffffffffffff +tsconfig\.json$/m);
});
