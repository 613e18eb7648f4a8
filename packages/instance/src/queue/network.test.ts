import { expect, test } from 'vitest';
import { type NetworkCeiling, parseEgressPolicy } from '@fumehood/protocol';
import { modeUnder, recordOf, type StoredRecord } from './network.ts';

const ceiling = (policy: string, tenant: string | null = null): NetworkCeiling => ({
  queue: 'runs',
  tenant,
  policy: parseEgressPolicy(policy),
});
const seen = (asked: string, ceilings: readonly NetworkCeiling[] | null) =>
  recordOf({ network: { asked: parseEgressPolicy(asked), ceilings, broker: [] } } as unknown as StoredRecord)
    .network;

test.each<[string, NetworkCeiling[] | null, string | null, number]>([
  ['public', null, null, 0],
  ['public', [], 'public', 0],
  ['allow:a.test:443,b.test', [ceiling('public')], 'allow:a.test:443,b.test', 0],
  ['allow:b.test,a.test', [ceiling('public')], 'allow:b.test,a.test', 0],
  ['allow:a.test:443', [ceiling('allow:*.test')], 'allow:a.test:443', 0],
  ['none', [ceiling('allow:*.test')], 'none', 0],
  ['public', [ceiling('allow:*.test'), ceiling('none', 'acme')], 'none', 2],
  ['public', [ceiling('allow:*.test'), ceiling('allow:a.test:443', 'acme')], 'allow:a.test:443', 2],
  ['allow:a.test', [ceiling('allow:*.test'), ceiling('allow:a.test:443', 'acme')], 'allow:a.test:443', 1],
  ['allow:a.test', [ceiling('allow:b.test')], 'none', 1],
])('a job that asks for %s under %j gets %s', (asked, ceilings, applied, narrowing) => {
  expect(seen(asked, ceilings)).toEqual({
    asked: parseEgressPolicy(asked),
    applied: applied === null ? null : parseEgressPolicy(applied),
    broker: [],
    narrowedBy: ceilings?.slice(ceilings.length - narrowing) ?? [],
  });
});

test('a record that an older build has stored has no network', () => {
  expect(recordOf({ id: 1 } as StoredRecord)).toEqual({ id: 1 });
});

test('a lease compares the modes alone', () => {
  const asked = parseEgressPolicy('allow:a.test');
  expect(modeUnder(asked, [])).toBe('allow');
  expect(modeUnder(asked, [ceiling('allow:b.test')])).toBe('allow');
  expect(modeUnder(asked, [ceiling('public'), ceiling('none', 'acme')])).toBe('none');
  expect(modeUnder({ mode: 'learn' }, [ceiling('public')])).toBe('learn');
});
