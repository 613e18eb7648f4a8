import { expect, it } from 'vitest';
import { openedFor } from './networks.ts';

it('a private host is open to the jobs of its queues, and without queues to all', () => {
  const hosts = [
    { name: 'all.test', port: 443, queues: null },
    { name: 'index.test', port: 443, queues: ['codeintel' as const, 'batches' as const] },
  ];
  const namesFor = (queue: 'codeintel' | 'runs' | null) => openedFor(hosts, queue).map(({ name }) => name);
  expect(namesFor('codeintel')).toEqual(['all.test', 'index.test']);
  expect(namesFor('runs')).toEqual(['all.test']);
  expect(namesFor(null)).toEqual(['all.test']);
});
