import type { ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import type { BatchEvent } from '@fumehood/protocol';
import { expect, it } from 'vitest';
import { openClient } from '../client.ts';
import { json, TestServer } from '../testing/server.ts';

const spec = (state: 'pending' | 'completed'): BatchEvent => ({
  type: 'spec',
  state,
  resolution: 'completed',
});
/** Sends events with their ids, and then breaks the connection. */
const stream = (events: Readonly<Record<number, BatchEvent>>) => (response: ServerResponse) => {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  const written = Object.entries(events).map(([id, one]) => `id: ${id}\ndata: ${JSON.stringify(one)}\n\n`);
  response.write(written.join(''), () => void response.destroy());
};
const all = (server: TestServer) =>
  Readable.from(openClient({ url: server.url, token: 't' }).batches.events('s')).toArray();

it('a stream of a batch spec that breaks is resumed, and its last event is the end of the batch spec', async () => {
  await using server = await new TestServer(
    stream({ 7: spec('pending') }),
    json({}, 503),
    stream({ 9: spec('completed') }),
  ).start();
  expect(await all(server)).toEqual([spec('pending'), spec('completed')]);
  expect(server.requests.map(({ url, headers }) => [url, headers['last-event-id'] ?? '-'])).toEqual([
    ['/api/batch-specs/s/events', '-'],
    ['/api/batch-specs/s/events', '7'],
    ['/api/batch-specs/s/events', '7'],
  ]);
});

it('a batch spec that is not there is no stream to resume', async () => {
  const error = { code: 'batch_spec_not_found', message: 'there is no batch spec s' };
  await using server = await new TestServer(json({ error }, 404)).start();
  await expect(all(server)).rejects.toMatchObject(error);
});
