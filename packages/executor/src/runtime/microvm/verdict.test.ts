import { mkdtempSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  canceled,
  commitMissing,
  deadlinePassed,
  diskFull,
  diskMakerFailed,
  diskNeedsMemory,
  executorStopped,
  guestSilent,
  imageUnavailable,
  instanceUnreachable,
  leaseLost,
  memoryExceeded,
  stepFailed,
  vmmDied,
  vmRefused,
} from '../../errors.ts';
import { type Stage, verdictOf } from './verdict.ts';

const failureOf = (work: () => unknown): unknown => {
  try {
    work();
  } catch (error) {
    return error;
  }
  throw new Error('it did not fail');
};

describe('what the end of a run says about the machine', () => {
  it.each<[Stage, unknown]>([
    ['disks', diskFull('ENOSPC')],
    ['boot', diskFull('ENOSPC')],
    ['guest', diskFull('ENOSPC')],
    ['boot', vmRefused('no uid is free')],
    ['boot', vmmDied('exited, code 1', '')],
    ['boot', new Error('ENOENT: no such file or directory, open kernel')],
    ['disks', failureOf(() => mkdtempSync('/proc/self/none/job-'))],
    [
      'disks',
      Object.assign(new Error('EMFILE: too many open files, open'), { code: 'EMFILE', syscall: 'open' }),
    ],
  ])('at %s, a failure is the machine’s: %s', (stage, failure) => {
    expect(verdictOf(failure, stage)).toBe('fault');
  });

  it.each<[Stage, unknown]>([
    ['disks', imageUnavailable('x', 'it is gone')],
    ['disks', commitMissing('acme', 'c', 'no')],
    ['disks', diskMakerFailed('it was taken over')],
    ['disks', diskNeedsMemory(64)],
    ['disks', new Error('the disk maker says so')],
    ['disks', instanceUnreachable('fetch a blob', 'ECONNRESET')],
    ['boot', instanceUnreachable('begin a log entry', 'ECONNRESET')],
    ['boot', leaseLost('no heartbeat')],
    ['boot', canceled('somebody asked for it')],
    ['boot', executorStopped()],
  ])('at %s, a failure says nothing: %s', (stage, failure) => {
    expect(verdictOf(failure, stage)).toBeNull();
  });

  it.each([
    null,
    stepFailed('0', 1, ''),
    deadlinePassed('0', 1_000),
    memoryExceeded('0', 1_000),
    guestSilent('pause', 1_000), // a hostile guest can be silent, and can end its VMM
    vmmDied('exited, code 0', ''),
    new Error('the channel broke off'),
  ])('the machine works when the guest has answered, also if the run ends with: %s', (failure) => {
    expect(verdictOf(failure, 'guest')).toBe('works');
  });
});
