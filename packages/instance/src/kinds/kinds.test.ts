import { queueNameSchema, servedQueues } from '@fumehood/protocol';
import { expect, test } from 'vitest';
import { queueParam } from '../http/queues.ts';
import { makeKinds } from './kinds.ts';

test('every kind of job that can be requested has an implementation', () => {
  const kinds = makeKinds({ hasBlob: async () => true, hasCommit: async () => true, hasExecutorUrl: true });
  expect([...kinds.keys()].sort()).toEqual([...servedQueues].sort());
  for (const [name, kind] of kinds) expect(kind.name).toBe(name);
});

test('every queue has its routes, and no other name has', () => {
  const pattern = new RegExp(/\((.*)\)$/.exec(queueParam)?.[1] ?? '');
  for (const name of queueNameSchema.options) expect(name).toMatch(pattern);
  expect('nonsense').not.toMatch(pattern);
});
