import type { LogEntry } from '@fumehood/protocol';
import { describe, expect, it } from 'vitest';
import { failedPhaseLines, phaseEnds } from './phase-ends.ts';

const upload: LogEntry = {
  entry: 7,
  attempt: 2,
  key: 'upload',
  command: [],
  startTime: '',
  durationMs: 5,
  exitCode: 1,
};

describe('the end of a phase', () => {
  it('has the last lines of what it wrote, if it failed', () => {
    const ends = phaseEnds();
    ends.add(upload, Buffer.from('first\r\n'));
    ends.add({ ...upload, attempt: 1 }, Buffer.from('of another attempt\n'));
    ends.add(upload, Buffer.from('error: the inst'));
    ends.add(upload, Buffer.from('ance refused\tit\n\n'));
    const failed = ends.failed(upload);
    expect(failed).toEqual({
      attempt: 2,
      key: 'upload',
      exitCode: 1,
      lines: ['first', 'error: the instance refused  it'],
    });
    expect(failed && failedPhaseLines(failed)).toEqual([
      'attempt 2: upload ended with 1; its last lines:',
      '  first',
      '  error: the instance refused  it',
    ]);
  });

  it('is not shown while the phase runs or if it succeeded', () => {
    const ends = phaseEnds();
    ends.add(upload, Buffer.from('text'));
    expect(ends.failed({ ...upload, durationMs: null, exitCode: null })).toBeNull();
    expect(ends.failed({ ...upload, exitCode: 0 })).toBeNull();
  });

  it('is bounded, however much the phase wrote', () => {
    const ends = phaseEnds();
    for (let line = 0; line < 5_000; line++) ends.add(upload, Buffer.from(`${line}\n`));
    expect(ends.failed(upload)?.lines).toEqual(Array.from({ length: 10 }, (_, at) => String(4_990 + at)));
    ends.add(upload, Buffer.alloc(100_000, 'x'));
    expect(ends.failed(upload)?.lines).toEqual(['x'.repeat(4_096)]);
  });

  it('of a phase that wrote nothing is its exit code', () => {
    const failed = phaseEnds().failed({ ...upload, exitCode: null });
    expect(failed && failedPhaseLines(failed)).toEqual(['attempt 2: upload ended with null']);
  });
});
