import { describe, expect, test } from 'vitest';
import { dequeueRequestSchema, heartbeatRequestSchema, heartbeatResponseSchema } from './routes.ts';
import { byteSizeSchema } from './size.ts';

test('ids of a heartbeat are numbers or strings of digits', () => {
  const request = { executorName: 'e', jobIds: [42, '43'] };
  expect(heartbeatRequestSchema.parse(request).jobIds).toEqual([42, 43]);
  const byQueue = [{ queueName: 'codeintel', jobIds: ['42', 43] }];
  expect(heartbeatRequestSchema.parse({ executorName: 'e', jobIdsByQueue: byQueue }).jobIdsByQueue).toEqual([
    { queueName: 'codeintel', jobIds: [42, 43] },
  ]);
});

test.each([['12x'], ['42-codeintel'], [''], [1.5], [-1]])('%j is not an id', (id) => {
  expect(heartbeatRequestSchema.safeParse({ executorName: 'e', jobIds: [id] }).success).toBe(false);
});

test('ids in the answer to a heartbeat are numbers or strings, and a list may be null', () => {
  const answer = { knownIds: [42, '43-batches'], cancelIds: null };
  expect(heartbeatResponseSchema.parse(answer)).toEqual({ knownIds: ['42', '43-batches'], cancelIds: null });
});

test('a field that is null has its zero value', () => {
  const nothing = { version: null, queues: null, numCPUs: null, memory: null, diskSpace: null };
  expect(dequeueRequestSchema.parse({ executorName: 'e', ...nothing })).toEqual({
    ...{ executorName: 'e', version: '', queues: [], numCPUs: 0, memory: null, diskSpace: null },
  });
  const lists = { jobIds: null, jobIdsByQueue: null, queueNames: null, os: null };
  expect(heartbeatRequestSchema.parse({ executorName: 'e', ...lists })).toMatchObject({
    jobIds: [],
    jobIdsByQueue: [],
    queueNames: [],
  });
});

describe('a size', () => {
  test.each([
    ['12G', 12 * 2 ** 30],
    ['12 GB', 12 * 2 ** 30],
    ['512m', 512 * 2 ** 20],
    ['12GiB', 12 * 2 ** 30],
    ['0 KB', 0],
    ['7', 7],
    ['7B', 7],
    ['', null],
  ])('%j is %s bytes', (text, bytes) => {
    expect(byteSizeSchema.parse(text)).toBe(bytes);
  });
  test.each(['G', '1.5G', '-1G', '12 parsecs', '9999999E'])('%j is not a size', (text) => {
    expect(byteSizeSchema.safeParse(text).success).toBe(false);
  });
});
