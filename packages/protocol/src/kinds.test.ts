import { describe, expect, test } from 'vitest';
import { createJobSchema, jobKinds, queueNameSchema } from './kinds.ts';

const digest = `sha256:${'0'.repeat(64)}`;
/** The smallest request of each kind that has one. */
const smallest = {
  codeintel: { repository: 'acme', commit: '0'.repeat(40), indexer: { name: 'x', image: digest, argv: [] } },
  runs: { image: digest, argv: [] },
};

test('every kind is a queue', () => {
  expect(queueNameSchema.options).toEqual(Object.keys(jobKinds));
});

describe.each(['codeintel', 'runs'] as const)('a request for the queue %s', (queue) => {
  test('is one of `POST /api/jobs`', () => {
    expect(jobKinds[queue].request.shape.queue.value).toBe(queue);
    expect(createJobSchema.parse({ queue, ...smallest[queue] })).toMatchObject(smallest[queue]);
  });

  test('accepts hardware virtualization alone unless it says otherwise', () => {
    expect(createJobSchema.parse({ queue, ...smallest[queue] }).accept).toEqual(['vm-hardware']);
  });
});

test('a request for a job that the instance alone makes is refused', () => {
  expect(createJobSchema.safeParse({ queue: 'batches', ...smallest.runs }).success).toBe(false);
});

describe('the directory of an indexing job', () => {
  const parse = (root: string) =>
    createJobSchema.safeParse({ queue: 'codeintel', ...smallest.codeintel, root }).data as
      | { root: string }
      | undefined;

  test.each([
    ['packages//core', 'packages/core'],
    ['./packages/core/', 'packages/core'],
    ['a/../packages/./core', 'packages/core'],
    ['a/b/../..', ''],
    ['.', ''],
    ['', ''],
  ])('%j is %j', (root, plain) => {
    expect(parse(root)?.root).toBe(plain);
  });

  test.each(['/etc', '//a', '..', 'a/../..', '../a', 'a/../../a/..', 'a\0b'])('%j is refused', (root) => {
    expect(parse(root)).toBeUndefined();
  });
});
