import type { JobRecord, LogEntry } from '@fumehood/protocol';
import { describe, expect, it } from 'vitest';
import {
  phaseName,
  phasesOf,
  type Report,
  reportJson,
  reportLines,
  type ShownDefinition,
  seconds,
} from './report.ts';

const job: JobRecord = {
  id: 7,
  queue: 'codeintel',
  state: 'completed',
  attempt: 1,
  accept: ['vm-hardware', 'vm-emulated'],
  executor: 'here',
  tier: 'vm-emulated',
  vmm: 'qemu 7.2',
  exitCode: 0,
  failure: null,
  tenant: 'admin',
  priority: 0,
  arch: null,
  labels: [],
  needsNative: true,
  needsVersion: 1,
  image: '',
  command: '',
  resources: { cpus: 1, memoryMiB: 1024, scratchMiB: 4096 },
  cancelRequested: false,
  processAfter: null,
  waiting: null,
  guest: { kernel: '6.1.0-40-amd64', interfaces: ['lo'] },
  inspection: { searchedBytes: 3 * 2 ** 30, credentials: 4, found: 0, controlFound: true },
  leftOver: {},
  uploadId: 3,
  queuedAt: '2026-01-01T00:00:00Z',
  startedAt: null,
  finishedAt: null,
};
const report: Report = {
  job,
  phasesMs: { workspace: 340, boot: 2_150, 'scip-typescript': 61_020, destroyed: 90 },
  index: { documents: 12, occurrences: 3_456, symbols: 789 },
  installed: null,
  definition: {
    query: { path: 'src/a.ts', line: 3, character: 14 },
    path: 'src/b.ts',
    line: 20,
    text: '  export function b() {',
  },
  leftOver: { processes: 0, loopDevices: 0, files: 0 },
};
const withJob = (facts: Partial<JobRecord>): Report => ({ ...report, job: { ...job, ...facts } });
const line = (of: Report, name: string) =>
  reportLines(of)
    .find((one) => one.startsWith(name))
    ?.slice(11);

describe('the report', () => {
  it('has a line for each result', () => {
    const [isolation, ...others] = reportLines(report);
    expect(isolation).toMatch(/^isolation {2}vm-emulated \(qemu 7\.2\): \S.+$/);
    expect(others).toEqual([
      'inside     Linux 6.1.0-40-amd64, no network, credentials held: 0 (4 searched for in 3.0 GiB of its memory and disk; the marker planted there was found)',
      'phases     workspace 0.3 s · boot 2.1 s · scip-typescript 61.0 s · destroyed 0.1 s',
      'index      12 documents, 3,456 occurrences, 789 symbols',
      '           src/a.ts:3:14 is defined in src/b.ts:20',
      '             export function b() {',
      'left over  processes 0, loop devices 0, files 0',
    ]);
  });

  it('says what was installed, from where, and what the network was asked for', () => {
    const installed = { packages: 1, registry: 'npm.example', receipts: 4, refused: 1 };
    expect(line({ ...report, installed }, 'installed')).toBe(
      '1 package from npm.example through the broker, by npm ci with its hooks; 4 receipts with 1 refusal',
    );
  });

  it('shows found credentials and leftovers', () => {
    const found = withJob({ inspection: { searchedBytes: 1, credentials: 4, found: 2, controlFound: true } });
    expect(line(found, 'inside')).toContain('credentials held: 2 (4 searched for in 1 B ');
    expect(line({ ...report, leftOver: { processes: 3 } }, 'left over')).toBe('processes 3');
  });

  it('names the network interfaces of the guest other than loopback', () => {
    const guest = { kernel: '6.1', interfaces: ['lo', 'eth0', 'eth1'] };
    expect(line(withJob({ guest }), 'inside')).toMatch(/^Linux 6\.1, network interfaces eth0, eth1, /);
  });
});

it('a definition whose file the commit does not have is reported without its text', () => {
  const { query } = report.definition as ShownDefinition;
  const definition = { query, path: 'src/b.ts', line: 20, text: null };
  const lines = reportLines({ ...report, definition });
  expect(lines[4]).toContain('is defined in src/b.ts:20');
  expect(lines[5]).toMatch(/^left over/);
});

describe('a value that was not measured', () => {
  it('is reported as missing, without a substitute', () => {
    expect(line(withJob({ guest: null }), 'inside')).toBe('not measured');
    expect(line(withJob({ inspection: null }), 'inside')).toContain('credentials not searched for');
    expect(line(withJob({ tier: null }), 'isolation')).toBe('not recorded');
    expect(line(withJob({ vmm: null }), 'isolation')).toMatch(/^vm-emulated: /);
    expect(line({ ...report, phasesMs: {} }, 'phases')).toBe('not measured');
    expect(line({ ...report, leftOver: {} }, 'left over')).toBe('not counted');
    expect(reportLines({ ...report, definition: null }).join()).not.toContain('is defined in');
  });

  it('is not reported as zero credentials when the inspection missed its planted marker', () => {
    const blind = withJob({
      inspection: { searchedBytes: 9, credentials: 4, found: 0, controlFound: false },
    });
    expect(line(blind, 'inside')).toContain('the search did not even find the marker planted for it');
    expect(line(blind, 'inside')).not.toContain('held: 0');
  });

  it('is null in the JSON report', () => {
    const bare = withJob({ tier: null, vmm: null, guest: null, inspection: null });
    expect(reportJson({ ...bare, definition: null })).toMatchObject({
      job: { id: 7, state: 'completed', attempt: 1 },
      isolation: { tier: null, vmm: null },
      inside: { guest: null, inspection: null },
      definition: null,
      leftOver: report.leftOver,
    });
  });
});

describe('phases', () => {
  const entry = (key: string, durationMs: number | null, attempt = 1): LogEntry => ({
    entry: 1,
    attempt,
    key,
    command: [],
    startTime: '',
    durationMs,
    exitCode: 0,
  });

  it('are the ended phases of the last attempt, under the demo’s names', () => {
    const entries = [
      entry('setup.vm', 9_999),
      entry('setup.vm', 1_000.4, 2),
      entry('step.docker.scip', 5, 2),
      entry('teardown.vm', null, 2),
    ];
    expect(phasesOf(entries)).toEqual({ boot: 1_000, scip: 5 });
    expect(phasesOf([])).toEqual({});
  });

  it('have short names where the demo defines some', () => {
    expect(
      ['setup.workspace', 'setup.image', 'setup.vm', 'setup.guest', 'teardown.vm', 'setup.other'].map(
        phaseName,
      ),
    ).toEqual(['workspace', 'image', 'boot', 'guest', 'destroyed', 'setup.other']);
    expect([0, 49, 50, 61_049].map(seconds)).toEqual(['0.0 s', '0.0 s', '0.1 s', '61.0 s']);
  });
});
