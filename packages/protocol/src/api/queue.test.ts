import { expect, it } from 'vitest';
import { listJobsSchema } from './queue.ts';

it.each(['limit', 'before'])('a word as %s of a list of jobs is refused in words of people', (name) => {
  expect(listJobsSchema.parse({ [name]: '7' })).toMatchObject({ [name]: 7 });
  const [issue] = listJobsSchema.safeParse({ [name]: 'abc' }).error?.issues ?? [];
  expect(issue).toMatchObject({ path: [name], message: 'must be a whole number' });
});
