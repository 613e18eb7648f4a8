import { expect, test } from 'vitest';
import { syncDelay } from './sync-delay.ts';

const [minute, hour] = [60_000, 3_600_000];
const open = { state: 'open', review: null, checks: null } as const;

test.each([
  ['that was just opened, and has no checks yet', open, 0, 4 * minute],
  ['that has none for a while', open, 11 * minute, 10 * minute],
  ['whose checks have just ended', { ...open, checks: 'passed' }, 0, 10 * minute],
  ['that is a branch alone', { ...open, state: null }, 0, 10 * minute],
  ['whose checks run', { ...open, checks: 'pending' }, 0, 2 * minute],
  ['whose checks never end', { ...open, checks: 'pending' }, 24 * hour, 2.4 * hour],
  ['that rests for a while', open, 10 * hour, hour],
  ['that rests for long', { ...open, checks: 'passed' }, 1_000 * hour, 6 * hour],
  ['that is closed', { ...open, state: 'closed' }, 0, 6 * hour],
] as const)(
  'the state of a changeset %s is read again after a while',
  (_what, status, unchangedMs, expected) => {
    expect(syncDelay(status, unchangedMs)).toBe(expected);
  },
);
