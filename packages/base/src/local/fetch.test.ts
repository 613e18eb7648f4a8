import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openFetch } from './fetch.ts';

let root: string;
let server: Server;
let seen: { method: string; url: string; authorization: string; body: string }[];
let answer: (response: ServerResponse, request: IncomingMessage) => void;
const socket = () => join(root, 'run/instance/socket');

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), 'fumehood-fetch-'));
  mkdirSync(join(root, 'run/instance'), { recursive: true });
  seen = [];
  answer = (response) => void response.end('answered');
  server = createServer((request, response) => {
    let body = '';
    request.on('error', () => {}).on('data', (chunk: Buffer) => void (body += chunk.toString()));
    const { method = '', url = '', headers } = request;
    request.on('end', () => seen.push({ method, url, authorization: headers.authorization ?? '', body }));
    answer(response, request);
  });
  await once(server.listen(socket()), 'listening');
});
afterEach(() => {
  server.closeAllConnections();
  server.close();
  rmSync(root, { recursive: true, force: true });
});

const send = (more: Partial<Parameters<ReturnType<typeof openFetch>>[0]> = {}) =>
  openFetch(`unix:${socket()}`)({
    ...{ method: 'POST', path: '/api/jobs?x=1', headers: { authorization: 'token secret' } },
    ...more,
  });

describe('a request to a socket', () => {
  it('carries method, path, headers and body, and has the answer', async () => {
    answer = (response) => void response.writeHead(201, { 'x-name': 'value' }).end('answered');
    const response = await send({ body: 'text' });
    expect({ status: response.status, name: response.headers.get('x-name') }).toEqual({
      status: 201,
      name: 'value',
    });
    expect(await response.text()).toBe('answered');
    const request = { method: 'POST', url: '/api/jobs?x=1', authorization: 'token secret' };
    expect(seen).toEqual([{ ...request, body: 'text' }]);
  });

  it('streams its body, and the answer', async () => {
    answer = (response, request) => void request.pipe(response);
    const response = await send({ body: Readable.from([Buffer.from('one '), Buffer.from('two')]) });
    expect(await response.text()).toBe('one two');
  });

  it('has an answer without a body where HTTP has none', async () => {
    answer = (response) => void response.writeHead(204).end();
    expect((await send()).body).toBeNull();
    expect((await send({ method: 'HEAD' })).body).toBeNull();
  });

  it('has the answer of a server that does not read the body', async () => {
    answer = (response) => void response.writeHead(413, { connection: 'close' }).end('too large');
    const body = Readable.from(
      (function* () {
        for (let count = 0; count < 1_000; count += 1) yield Buffer.alloc(65_536);
      })(),
    );
    const response = await send({ body });
    expect(response.status).toBe(413);
    expect(await response.text()).toBe('too large');
  });

  it('is ended by its signal, before and after the answer', async () => {
    const stop = new AbortController();
    answer = (response) => void response.writeHead(200).write('first');
    const response = await send({ signal: stop.signal });
    stop.abort();
    await expect(response.text()).rejects.toThrow();
    await expect(send({ signal: stop.signal })).rejects.toThrow('aborted');
  });

  it('fails when nothing listens, or when the stream of its body fails', async () => {
    const failing = Readable.from(
      (async function* () {
        yield Buffer.from('part');
        throw new Error('the disk is gone');
      })(),
    );
    answer = () => {};
    await expect(send({ body: failing })).rejects.toThrow('the disk is gone');
    server.closeAllConnections();
    server.close();
    await expect(send()).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('is not sent to a socket that anybody can replace', async () => {
    chmodSync(join(root, 'run/instance'), 0o777);
    await expect(send()).rejects.toMatchObject({ code: 'instance_unproved' });
    expect(seen).toEqual([]);
    // The check is what refuses it: the same server gets the same request once it has proved itself.
    chmodSync(join(root, 'run/instance'), 0o755);
    await send();
    expect(seen).toHaveLength(1);
  });
});
