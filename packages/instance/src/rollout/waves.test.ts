import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decideWave, type WaveMember } from './waves.ts';

const now = Date.parse('2026-01-05T12:00:00Z');
const minutes = (count: number) => count * 60_000;
const waves = { size: 3, failedShareMax: 0.34 };
const member = (more: Partial<WaveMember> = {}): WaveMember => ({
  ...{ publishedAt: now - minutes(30), isBranchAlone: false, state: 'open', checks: 'passed' },
  ...more,
});
const passed = member();
const failed = member({ checks: 'failed' });
const pending = member({ checks: 'pending' });
const fresh = member({ checks: null, publishedAt: now - minutes(4) });
const beingPublished = member({ publishedAt: null, state: null, checks: null });
const decide = (members: readonly WaveMember[], resumedAt: number | null = null) =>
  decideWave(waves, members, resumedAt, now);
const stop = { kind: 'stop', why: 'the checks of 2 of the 3 changesets of the last wave have failed' };

describe('waves', () => {
  test.each([
    ['begin with as many as a wave has', [], { kind: 'go', free: 3 }],
    ['are filled', [passed], { kind: 'go', free: 2 }],
    ['count those that are being published', [passed, beingPublished], { kind: 'go', free: 1 }],
    [
      'wait for those that are being published',
      [passed, passed, beingPublished],
      { kind: 'wait', until: null },
    ],
    ['wait for checks', [passed, passed, pending], { kind: 'wait', until: null }],
    ['go on when all have passed', [passed, passed, passed], { kind: 'go', free: 3 }],
    ['go on in spite of a small share', [passed, passed, failed], { kind: 'go', free: 3 }],
    ['stop at a large share', [failed, passed, failed], stop],
    ['stop at a large share, whatever still runs', [failed, failed, pending], stop],
    ['stop before a wave is full', [failed, failed], stop],
    [
      'stop for the last wave alone',
      [passed, passed, passed, failed, failed, passed].map((one, index) => ({
        ...one,
        publishedAt: now - minutes(60 - index),
      })),
      stop,
    ],
    [
      'forget the wave before the last',
      [failed, failed, failed, passed, passed, passed].map((one, index) => ({
        ...one,
        publishedAt: now - minutes(60 - index),
      })),
      { kind: 'go', free: 3 },
    ],
    ['wait a while for checks to begin', [passed, passed, fresh], { kind: 'wait', until: now + minutes(6) }],
    ['go on without checks', [passed, passed, member({ checks: null })], { kind: 'go', free: 3 }],
    [
      'go on without checks of branches alone',
      [passed, passed, { ...fresh, isBranchAlone: true }],
      { kind: 'go', free: 3 },
    ],
    [
      'go on after one that was merged before its checks had ended',
      [passed, passed, member({ checks: 'pending', state: 'merged' })],
      { kind: 'go', free: 3 },
    ],
    [
      'take one that was closed for no failure',
      [passed, failed, member({ checks: 'failed', state: 'closed' })],
      { kind: 'go', free: 3 },
    ],
  ] as const)('%s', (_what, members, expected) => {
    expect(decide(members)).toEqual(expected);
  });

  test('go on after somebody let them, with a whole wave', () => {
    expect(decide([failed, failed, failed])).toMatchObject({ kind: 'stop' });
    expect(decide([failed, failed, failed], now - minutes(29))).toEqual({ kind: 'go', free: 3 });
    expect(decide([failed, failed, { ...failed, publishedAt: now }], now - minutes(29))).toEqual({
      kind: 'go',
      free: 2,
    });
  });
});

test('no more changesets than one wave wait for their checks at any time, and all are published if none fails', () => {
  fc.assert(
    fc.property(
      fc.record({ size: fc.integer({ min: 1, max: 5 }), failedShareMax: fc.constant(0) }),
      fc.integer({ min: 0, max: 20 }),
      fc.array(fc.boolean(), { minLength: 200, maxLength: 200 }),
      (settings, count, passes) => {
        const published: { publishedAt: number; checks: WaveMember['checks'] }[] = [];
        for (const [step, isNext] of passes.entries()) {
          const members = published.map((one) => member(one));
          const decision = decideWave(settings, members, null, now + step);
          const [waiting] = published.filter(({ checks }) => checks === 'pending');
          if (decision.kind === 'go' && published.length < count && isNext)
            published.push({ publishedAt: now + step, checks: 'pending' });
          else if (waiting) waiting.checks = 'passed';
          expect(published.filter(({ checks }) => checks === 'pending').length).toBeLessThanOrEqual(
            settings.size,
          );
        }
        expect(published.length).toBeLessThanOrEqual(count);
        if (passes.filter(Boolean).length > 100) expect(published.length).toBe(count);
      },
    ),
    { numRuns: 50 },
  );
});
