import type { ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { openClient } from './client.ts';
import { jobRecord, json, TestServer } from './testing/server.ts';

afterEach(() => vi.restoreAllMocks());

/** Collects all items. */
const all = <T>(items: AsyncIterable<T>) => Readable.from(items).toArray() as Promise<T[]>;

const output = (offset: number) => ({
  type: 'output' as const,
  attempt: 1,
  entry: 1,
  stream: 'stdout' as const,
  offset,
  data: 'eA==',
});
const done = { type: 'job' as const, job: jobRecord('completed') };
const written = (id: number, event: object) => `id: ${id}\ndata: ${JSON.stringify(event)}\n\n`;

/** Sends text as a stream of events, and then ends or breaks the connection. */
const stream =
  (text: string, then: 'ends' | 'breaks' = 'ends') =>
  (response: ServerResponse) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(text, () => void (then === 'ends' ? response.end() : response.destroy()));
  };
const follow = (server: TestServer, signal?: AbortSignal) =>
  openClient({ url: server.url, token: 't' }).events(1, signal && { signal });
const requested = (server: TestServer) =>
  server.requests.map(({ url, headers }) => [url, headers['last-event-id'] ?? '-'].join(' '));

describe('the events of a job', () => {
  it.concurrent('are each yielded once, even if the connection breaks within one', async () => {
    const cut = written(3, output(2)).slice(0, 30);
    await using server = await new TestServer(
      stream(written(1, output(0)) + written(2, output(1)) + cut, 'breaks'),
      stream(written(3, output(2)) + written(4, done)),
    ).start();
    expect(await all(follow(server))).toEqual([output(0), output(1), output(2), done]);
    expect(requested(server)).toEqual(['/api/jobs/1/events -', '/api/jobs/1/events 2']);
  });

  it.concurrent('continue after the instance ended the stream before the job ended', async () => {
    await using server = await new TestServer(
      stream(written(5, output(0)) + `data: ${JSON.stringify(output(9))}\n\n`),
      json(jobRecord('processing')),
      stream(written(6, done)),
    ).start();
    // An event without an id does not change where the client resumes.
    expect(await all(follow(server))).toEqual([output(0), output(9), done]);
    expect(requested(server)).toEqual(['/api/jobs/1/events -', '/api/jobs/1 -', '/api/jobs/1/events 5']);
  });

  it('are those so far without `follow`, also while the job runs', async () => {
    await using server = await new TestServer(stream(written(1, output(0)))).start();
    const client = openClient({ url: server.url, token: 't' });
    expect(await all(client.events(1, { follow: false }))).toEqual([output(0)]);
    expect(requested(server)).toEqual(['/api/jobs/1/events?follow=false -']);
    expect(await all(client.events(1, { follow: false, tail: 10 }))).toEqual([output(0)]);
    expect(requested(server)[1]).toBe('/api/jobs/1/events?follow=false&tail=10 -');
  });

  it('end at once if the job had already ended', async () => {
    await using server = await new TestServer(stream(''), json(jobRecord('failed'))).start();
    expect(await all(follow(server))).toEqual([]);
  });

  it.concurrent('are requested again while the instance answers 503', async () => {
    await using server = await new TestServer(json({}, 503), stream(written(1, done))).start();
    expect(await all(follow(server))).toEqual([done]);
  });

  it('reject at once if the job does not exist, or an event is not understood', async () => {
    const error = { code: 'job_not_found', message: 'there is no job 1' };
    await using none = await new TestServer(json({ error }, 404)).start();
    await expect(all(follow(none))).rejects.toMatchObject(error);
    await using strange = await new TestServer(stream(written(1, { type: 'weather' }))).start();
    await expect(all(follow(strange))).rejects.toMatchObject({ code: 'answer_unknown' });
    expect([none, strange].map(({ requests }) => requests.length)).toEqual([1, 1]);
  });

  it('reject after the instance has been away for a minute', async () => {
    const server = await new TestServer(stream('')).start();
    await server[Symbol.asyncDispose]();
    vi.spyOn(performance, 'now').mockReturnValueOnce(0).mockReturnValue(60_001);
    await expect(all(follow(server))).rejects.toMatchObject({ code: 'instance_unreachable' });
  });

  it('reject with the reason of an aborted signal', async () => {
    await using server = await new TestServer((response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write(written(1, output(0)));
    }).start();
    const enough = new AbortController();
    const events = follow(server, enough.signal);
    expect((await events.next()).value).toEqual(output(0));
    enough.abort(new Error('seen enough'));
    await expect(events.next()).rejects.toThrow('seen enough');
  });
});
