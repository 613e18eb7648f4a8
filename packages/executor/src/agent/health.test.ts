import { describe, expect, it } from 'vitest';
import type { MachineVerdict } from '../runtime/runtime.ts';
import { afterCanary, afterJob, type Health, healthy, pauseBeforeCanaryMs } from './health.ts';

const after = (health: Health, ...verdicts: MachineVerdict[]) =>
  verdicts.reduce((before, verdict) => afterJob(before, verdict, 'the disk is full'), health);
const stopped = after(healthy, 'fault', 'fault', 'fault');

describe('an executor', () => {
  it('leases nothing after three jobs in a row that failed because of the machine, and has the reason', () => {
    expect(after(healthy, 'fault', 'fault').trouble).toBeNull();
    expect(stopped.trouble).toBe('the disk is full');
  });

  it('leases on when a job in between shows that the machine works', () => {
    expect(after(healthy, 'fault', 'fault', 'works', 'fault', 'fault').trouble).toBeNull();
  });

  it('leases on whatever jobs fail by themselves, and such jobs show nothing', () => {
    expect(after(healthy, null, null, null, null)).toEqual(healthy);
    expect(after(healthy, 'fault', null, 'fault', null, 'fault').trouble).not.toBeNull();
  });

  it('is not changed by jobs that were running when it stopped', () => {
    expect(after(stopped, 'works', 'fault')).toEqual(stopped);
  });

  it('leases again after a canary that boots, and is stopped at once by the next failure of the machine', () => {
    const again = afterCanary(stopped, null);
    expect(again.trouble).toBeNull();
    expect(after(again, 'fault').trouble).not.toBeNull();
    expect(after(again, 'works')).toEqual(healthy);
  });

  it('has the reason of its last canary', () => {
    expect(afterCanary(stopped, 'the guest did not boot').trouble).toBe('the guest did not boot');
  });
});

describe('the pause before a canary', () => {
  it('doubles with each failed canary, up to five minutes', () => {
    const pauses: number[] = [];
    for (let health = stopped; pauses.length < 8; health = afterCanary(health, 'no'))
      pauses.push(pauseBeforeCanaryMs(health) / 1_000);
    expect(pauses).toEqual([5, 10, 20, 40, 80, 160, 300, 300]);
  });

  it('goes on doubling when canaries boot and jobs fail, until a job works', () => {
    const relapsed = after(afterCanary(stopped, null), 'fault');
    expect(pauseBeforeCanaryMs(relapsed)).toBe(10_000);
    const recovered = after(afterCanary(relapsed, null), 'works');
    expect(pauseBeforeCanaryMs(after(recovered, 'fault', 'fault', 'fault'))).toBe(5_000);
  });
});
