import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { jobStateSchema } from '../api/jobs.ts';
import {
  afterTransition,
  hasEnded,
  type JobLife,
  type JobTransition,
  jobTransitions,
  newLife,
} from './table.ts';

const anyTransition = fc.constantFrom(...jobTransitions);
const limits = fc.record({ maxResets: fc.nat(3), maxRetries: fc.nat(3) });
const anyLife: fc.Arbitrary<JobLife> = fc.record({
  state: fc.constantFrom(...jobStateSchema.options),
  attempt: fc.nat(9),
  resets: fc.nat(3),
  maxResets: fc.nat(3),
  retries: fc.nat(3),
  maxRetries: fc.nat(3),
  cancelRequested: fc.boolean(),
});

/** Returns the lives that a job goes through, from its creation on. */
function history(start: JobLife, events: readonly JobTransition[]): JobLife[] {
  const lives = [start];
  for (const event of events) {
    const next = afterTransition(lives.at(-1) as JobLife, event);
    if (next) lives.push(next);
  }
  return lives;
}

describe('the lifecycle table', () => {
  test.each<[JobTransition, string]>([
    ['complete', 'completed'],
    ['fail', 'failed'],
    ['error', 'failed'],
    ['expire', 'queued'],
  ])('%s moves a leased job to %s', (transition, state) => {
    const leased = afterTransition(newLife({ maxResets: 1, maxRetries: 0 }), 'lease') as JobLife;
    expect(afterTransition(leased, transition)?.state).toBe(state);
  });

  test('no transition leaves a final state', () => {
    fc.assert(
      fc.property(anyLife, anyTransition, (life, transition) => {
        if (hasEnded(life.state)) expect(afterTransition(life, transition)).toBeNull();
      }),
    );
  });

  test('only a lease starts an attempt, and counts it once', () => {
    fc.assert(
      fc.property(anyLife, anyTransition, (life, transition) => {
        const next = afterTransition(life, transition);
        if (!next) return;
        expect(next.attempt - life.attempt).toBe(transition === 'lease' ? 1 : 0);
        expect(next.state === 'processing' && life.state !== 'processing').toBe(transition === 'lease');
      }),
    );
  });

  test('a cancel is never taken back, and a canceled job ends in no other state', () => {
    fc.assert(
      fc.property(limits, fc.array(anyTransition, { maxLength: 40 }), (bounds, events) => {
        const lives = history(newLife(bounds), events);
        const first = lives.findIndex((life) => life.cancelRequested);
        if (first < 0) return;
        for (const life of lives.slice(first)) {
          expect(life.cancelRequested).toBe(true);
          expect(['processing', 'canceled']).toContain(life.state);
        }
      }),
    );
  });

  test('after a cancel the job can only be released or expire', () => {
    const leased = afterTransition(newLife({ maxResets: 1, maxRetries: 1 }), 'lease') as JobLife;
    const canceling = afterTransition(leased, 'cancel') as JobLife;
    for (const transition of ['complete', 'error', 'fail'] as const)
      expect(afterTransition(canceling, transition)).toBeNull();
    for (const end of ['release', 'expire'] as const)
      expect(afterTransition(canceling, end)?.state).toBe('canceled');
    expect(afterTransition(leased, 'release')).toBeNull();
  });

  test('resets and retries are bounded, and so are the attempts', () => {
    fc.assert(
      fc.property(limits, fc.array(anyTransition, { maxLength: 80 }), (bounds, events) => {
        for (const life of history(newLife(bounds), events)) {
          expect(life.resets).toBeLessThanOrEqual(bounds.maxResets);
          expect(life.retries).toBeLessThanOrEqual(bounds.maxRetries);
          expect(life.attempt).toBeLessThanOrEqual(1 + life.resets + life.retries);
        }
      }),
    );
  });
});
