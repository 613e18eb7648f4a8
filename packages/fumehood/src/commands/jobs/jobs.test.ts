import type { JobRecord } from '@fumehood/protocol';
import { describe, expect, it } from 'vitest';
import { shareLines } from '../shares/list.ts';
import { pageLines } from './list.ts';
import { jobLines } from './show.ts';
import { whyLines } from './why.ts';

const job = {
  id: 12,
  queue: 'runs',
  state: 'failed',
  tenant: 'acme',
  attempt: 2,
  priority: 0,
  image: `sha256:${'0123456789abcdef'.repeat(4)}`,
  command: 'sh -c echo one\necho two and three and four and five',
  accept: ['vm-emulated'],
  arch: null,
  labels: ['gpu'],
  needsNative: true,
  needsVersion: 1,
  resources: { cpus: 1, memoryMiB: 512, scratchMiB: 1024 },
  failure: { reason: 'vmm_died', message: 'it is gone\nits last words' },
  cancelRequested: false,
  uploadId: null,
  queuedAt: '2026-11-25T12:00:00.000Z',
  processAfter: null,
  startedAt: null,
  finishedAt: null,
} as unknown as JobRecord;

describe('the text', () => {
  it('of a page is a table, with the option for the next page', () => {
    expect(pageLines({ jobs: [job], next: 12 })).toEqual([
      'JOB  QUEUE  STATE   TENANT  ATTEMPT  QUEUED                    FAILURE   IMAGE                COMMAND',
      '12   runs   failed  acme    2        2026-11-25T12:00:00.000Z  vmm_died  sha256:0123456789ab  sh -c echo one echo two and three and fo',
      'more: --before 12',
    ]);
    expect(pageLines({ jobs: [], next: null })).toEqual(['no jobs']);
  });

  it('of a job has its facts and attempts, without those that are missing', () => {
    const attempt = {
      attempt: 1,
      executor: 'e1',
      outcome: 'lost',
      failure: { reason: 'lease_lost', message: 'gone' },
      tier: null,
      vmm: null,
      exitCode: null,
      startedAt: '2026-11-25T12:00:01.000Z',
      endedAt: null,
    };
    const lines = jobLines(job, [attempt], []);
    expect(lines).toContain('failure   vmm_died: it is gone');
    expect(lines).toContain('labels    gpu');
    expect(lines).toContain(`image     ${job.image}`);
    expect(lines).toContain('command   sh -c echo one echo two and three and four and five');
    expect(lines.join('\n')).not.toMatch(/arch|priority|started /);
    expect(lines.at(-1)).toBe(
      '1        lost     e1                    2026-11-25T12:00:01.000Z  lease_lost: gone',
    );
  });

  it('of a job has the last lines of each phase that failed', () => {
    const failed = { attempt: 2, key: 'upload', exitCode: 1, lines: ['error: refused', '  Do this.'] };
    expect(jobLines(job, [], [failed]).slice(-4)).toEqual([
      '',
      'attempt 2: upload ended with 1; its last lines:',
      '  error: refused',
      '    Do this.',
    ]);
  });

  it('of a job that is being canceled says so', () => {
    const stopping = { ...job, state: 'processing' as const, cancelRequested: true };
    expect(jobLines(stopping, [], [])).toContain('state     processing (canceling)');
  });

  it('of a wait is the reason, the remedy and the expected start', () => {
    const waiting = { reason: 'turn', message: '3 ahead', remedy: 'Wait.' };
    const why = {
      state: 'queued' as const,
      waiting,
      ahead: 3,
      share: 1,
      expectedStartAt: '2026-11-25T12:00:00.000Z',
    };
    expect(whyLines(12, why)).toEqual([
      'job 12 waits: 3 ahead',
      '  Wait.',
      '  it is expected to start at 2026-11-25T12:00:00.000Z',
    ]);
    const running = { ...why, state: 'processing' as const, waiting: null };
    expect(whyLines(12, running)).toEqual(['job 12 does not wait: it is processing']);
  });

  it('of shares is a table', () => {
    expect(shareLines([{ queue: 'runs', tenant: 'acme', weight: 2, waiting: 1, running: 0 }])[1]).toBe(
      'runs   acme    2       1        0',
    );
  });
});
