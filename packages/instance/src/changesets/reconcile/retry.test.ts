import { FumehoodError } from '@fumehood/base';
import { expect, it } from 'vitest';
import { retryDelay } from './retry.ts';

const error = (code: string, details = {}) => new FumehoodError({ code, message: 'm', details });

it.each([
  ['a remote that is away', error('remote_unreachable'), 0, 10_000],
  ['it again', error('remote_unreachable'), 3, 80_000],
  ['it for a long time', error('remote_unreachable'), 9, 3_600_000],
  ['it for too long', error('remote_unreachable'), 10, null],
  ['a host that has to find out first', error('host_not_ready'), 3, 80_000],
  ['a host that finds nothing out', error('host_not_ready'), 4, null],
  ['a fault without a code', new Error('ECONNRESET'), 1, 20_000],
  ['a host that asks to wait', error('host_rate_limited', { retryAt: 1_500_000 }), 0, 500_000],
  ['a host that asks to wait, at the end', error('host_rate_limited', { retryAt: 0 }), 12, 3_600_000],
  ['a branch that somebody else has pushed to', error('branch_moved'), 0, null],
  ['a diff that does not apply', error('diff_conflict'), 0, null],
  ['a host that refuses', error('host_refused'), 0, null],
])('after %s the next try is after so many milliseconds, or never', (_, failure, failures, delay) => {
  expect(retryDelay(failure, failures, 1_000_000)).toBe(delay);
});
