import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { FumehoodError } from '@fumehood/base';
import { describe, expect, it } from 'vitest';
import { openClient } from './client.ts';
import { jobRecord, json, TestServer } from './testing/server.ts';

const token = 'the-access-token';
const open = ({ url }: { url: string }) => openClient({ url: `${url}/`, token });
const failure = async (answer: Promise<unknown>) => {
  const error: unknown = await answer.then(
    () => null,
    (error: unknown) => error,
  );
  expect(JSON.stringify(error) + String(error)).not.toContain(token);
  return error;
};

describe('an error of the client', () => {
  it('is the error of the instance, with its code, remedy and status', async () => {
    const error = { code: 'job_ended', message: 'job 1 has ended', remedy: 'Start another.' };
    await using server = await new TestServer(json({ error }, 409)).start();
    expect(await failure(open(server).cancel(1))).toMatchObject({ ...error, status: 409 });
    expect(server.requests[0]?.headers.authorization).toBe(`token ${token}`);
  });

  it('is instance_refused if the response has no error that can be parsed', async () => {
    await using server = await new TestServer(
      (response) => void response.writeHead(502).end('<html>'),
    ).start();
    expect(await failure(open(server).job(1))).toMatchObject({
      code: 'instance_refused',
      status: 502,
      message: `the instance at ${server.url} answered 502 to GET /api/jobs/1`,
    });
  });

  it('is instance_refused for a redirect, and the token is not sent there', async () => {
    await using elsewhere = await new TestServer(json(jobRecord('queued'))).start();
    await using server = await new TestServer(
      (response) => void response.writeHead(302, { location: elsewhere.url }).end(),
    ).start();
    expect(await failure(open(server).job(1))).toMatchObject({ code: 'instance_refused', status: 302 });
    expect(elsewhere.requests).toEqual([]);
  });

  it('is answer_unknown for a response that does not match the schema', async () => {
    for (const body of ['', 'nonsense', '{"id":"one"}']) {
      await using server = await new TestServer((response) => void response.writeHead(200).end(body)).start();
      expect(await failure(open(server).job(1))).toMatchObject({ code: 'answer_unknown' });
    }
  });

  it('is instance_unreachable if nothing listens', async () => {
    const server = await new TestServer().start();
    await server[Symbol.asyncDispose]();
    expect(await failure(open(server).status())).toMatchObject({
      code: 'instance_unreachable',
      message: expect.stringContaining('ECONNREFUSED'),
      remedy: expect.stringContaining('Check the address'),
    });
    const local = openClient({ url: 'unix:/nonexistent', token });
    expect(await failure(local.status())).toMatchObject({ remedy: expect.not.stringContaining('address') });
  });

  it('is scheme_wrong if the port speaks TLS and the address does not say so, or the other way round', async () => {
    await using plain = await new TestServer(json({})).start();
    const https = openClient({ url: plain.url.replace('http:', 'https:'), token });
    expect(await failure(https.status())).toMatchObject({
      code: 'scheme_wrong',
      remedy: expect.stringContaining('http://'),
    });
    const alert = createServer((socket) => {
      socket.once('data', () => socket.end(Buffer.from('15030300020232', 'hex')));
    });
    await once(alert.listen(0, '127.0.0.1'), 'listening');
    const http = openClient({ url: `http://127.0.0.1:${(alert.address() as AddressInfo).port}`, token });
    expect(await failure(http.status())).toMatchObject({
      code: 'scheme_wrong',
      remedy: expect.stringContaining('https://'),
    });
    alert.close();
  });

  it('is unauthorized for a token that the instance does not know, with the command that stores another', async () => {
    const error = { code: 'unauthorized', message: 'this request needs an access token' };
    await using server = await new TestServer(json({ error }, 401)).start();
    expect(await failure(open(server).status())).toMatchObject({
      code: 'unauthorized',
      message: expect.stringContaining(`${server.url} does not accept the access token`),
      remedy: expect.stringContaining(`fumehood login ${server.url}`),
    });
  });

  it('is the error of the stream that it sends', async () => {
    await using server = await new TestServer(json({})).start();
    const broken = async function* () {
      yield Buffer.alloc(100_000);
      throw new FumehoodError({ code: 'repository_unreadable', message: 'it lacks an object' });
    };
    const sending = open(server).putPack('a/b', 'c'.repeat(40), Readable.from(broken()));
    expect(await failure(sending)).toMatchObject({
      code: 'repository_unreadable',
      message: 'it lacks an object',
    });
  });
});

describe('a response that something is missing', () => {
  const no = { error: { code: 'no_example', message: 'none' } };

  it('is false for a missing blob, and an error if the request failed', async () => {
    await using server = await new TestServer(json({}), json({}, 404), json({}, 500)).start();
    expect(await open(server).hasBlob('sha256:1')).toBe(true);
    expect(await open(server).hasBlob('sha256:1')).toBe(false);
    await expect(open(server).hasBlob('sha256:1')).rejects.toMatchObject({ status: 500 });
  });

  it('is null for an index without an example, and an error for a missing index', async () => {
    const missing = { error: { code: 'upload_not_found', message: 'none' } };
    await using server = await new TestServer(json(no, 404), json(missing, 404)).start();
    expect(await open(server).example(1)).toBe(null);
    await expect(open(server).example(1)).rejects.toMatchObject({ code: 'upload_not_found' });
  });
});

it('sends the input of a job from the offset that the instance has, with its end', async () => {
  const sent: string[] = [];
  await using server = await new TestServer((response, request) => {
    void text(request).then((body) => {
      sent.push(`${request.url} ${body}`);
      json({ offset: sent.join('').length })(response);
    });
  }).start();
  await open(server).sendInput(
    1,
    Readable.from([Buffer.from('one'), Buffer.from('two')]),
    AbortSignal.timeout(5000),
  );
  const [first = '', second = '', last] = sent;
  expect(first).toBe('/api/jobs/1/input?offset=0&end=false one');
  expect(second).toBe(`/api/jobs/1/input?offset=${first.length}&end=false two`);
  expect(last).toBe(`/api/jobs/1/input?offset=${first.length + second.length}&end=true `);
});

it('encodes the name of a repository part by part', async () => {
  await using server = await new TestServer(json({})).start();
  await open(server).putPack('acme/a b?c', 'f'.repeat(40), Readable.from([Buffer.from('PACK')]));
  expect(server.requests[0]?.url).toBe(`/api/repositories/acme/a%20b%3Fc/pack?commit=${'f'.repeat(40)}`);
});
