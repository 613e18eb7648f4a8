import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { sha256 } from '../../testing/fake-release.ts';
import { archiveMax, fetchArchive } from './fetch.ts';

const archive = Buffer.from('an archive of many bytes'.repeat(10_000));
let server: Server;
let handle: RequestListener;
let url: string;
beforeEach(async () => {
  handle = (_request, response) => response.end(archive);
  server = createServer((request, response) => handle(request, response)).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/archive.tgz`;
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

const noProgress = () => {};
const fetchFrom = (from: string, signal = AbortSignal.timeout(20_000)) =>
  fetchArchive(from, sha256(archive), { signal, onProgress: noProgress });
const fails = (code: string, message: RegExp) => ({ code, message: expect.stringMatching(message) });

describe('an archive from a server', () => {
  it('arrives with its progress, from no bytes to all', async () => {
    const progress: [number, number | null][] = [];
    const fetched = await fetchArchive(url, sha256(archive), {
      signal: AbortSignal.timeout(20_000),
      onProgress: (...step) => progress.push(step),
    });
    expect(fetched.equals(archive)).toBe(true);
    expect(progress[0]).toEqual([0, archive.length]);
    expect(progress.at(-1)).toEqual([archive.length, archive.length]);
  });

  it('arrives over redirects, and in chunks, whose sum the server does not say', async () => {
    handle = ({ url: path }, response) => {
      if (path === '/archive.tgz') response.writeHead(302, { location: '/two' }).end();
      else if (path === '/two') response.writeHead(307, { location: `${url}?three` }).end();
      else response.writeHead(200, { 'transfer-encoding': 'chunked' }).end(archive);
    };
    const totals = new Set<number | null>();
    const signal = AbortSignal.timeout(20_000);
    await fetchArchive(url, sha256(archive), { signal, onProgress: (_, all) => totals.add(all) });
    expect([...totals]).toEqual([null]);
  });

  it.each<[string, RequestListener, string, RegExp]>([
    [
      'other bytes',
      (_, to) => to.end('other'),
      'archive_wrong',
      /its SHA-256 is [0-9a-f]{64}, and that of the/,
    ],
    ['half of it', (_, to) => void to.end(archive.subarray(0, 1000)), 'archive_wrong', /its SHA-256 is/],
    [
      'less than it promises',
      (_, to) => {
        to.writeHead(200, { 'content-length': archive.length }).write(archive.subarray(0, 1000));
        setTimeout(() => to.destroy(), 20);
      },
      'archive_unavailable',
      /closed|terminated/,
    ],
    ['404', (_, to) => void to.writeHead(404).end(), 'archive_unavailable', /the server answered 404/],
    ['no place', (_, to) => void to.writeHead(302).end(), 'archive_unavailable', /answered 302/],
    [
      'a redirect to itself',
      (_, to) => void to.writeHead(302, { location: '/archive.tgz' }).end(),
      'archive_unavailable',
      /redirected more than 5 times/,
    ],
    [
      'a redirect to a file',
      (_, to) => void to.writeHead(302, { location: 'file:///etc/passwd' }).end(),
      'archive_unavailable',
      /no URL of HTTP/,
    ],
    [
      'a length that is too large',
      (_, to) => void to.writeHead(200, { 'content-length': archiveMax + 1 }).write('x'),
      'archive_wrong',
      /more than 67108864 bytes/,
    ],
    [
      'bytes without end',
      (_, to) => {
        const part = Buffer.alloc(2 ** 20);
        const more = () => to.destroyed || to.write(part, () => setImmediate(more));
        more();
      },
      'archive_wrong',
      /more than 67108864 bytes/,
    ],
  ])('of which it sends %s is refused', async (_, listener, code, message) => {
    handle = listener;
    await expect(fetchFrom(url)).rejects.toMatchObject(fails(code, message));
  });

  it('that does not run is unavailable', async () => {
    const gone = url;
    await new Promise((resolve) => server.close(resolve));
    await expect(fetchFrom(gone)).rejects.toMatchObject(fails('archive_unavailable', /ECONNREFUSED/));
    server.listen(0);
  });

  it('stops when the caller does', async () => {
    const controller = new AbortController();
    handle = (_, response) => {
      response.write('the first bytes');
      setTimeout(() => controller.abort(new Error('interrupted')), 20);
    };
    await expect(fetchFrom(url, controller.signal)).rejects.toThrow('interrupted');
  });
});

describe('an archive from a file', () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'fumehood-archive-'));
  });
  afterEach(() => rm(directory, { recursive: true }));

  it('is read', async () => {
    const file = join(directory, 'archive.tgz');
    await writeFile(file, archive);
    expect((await fetchFrom(file)).equals(archive)).toBe(true);
    await writeFile(file, archive.subarray(1));
    await expect(fetchFrom(file)).rejects.toMatchObject(fails('archive_wrong', /its SHA-256 is/));
  });

  it('has to be a file that is there', async () => {
    const missing = join(directory, 'none.tgz');
    await expect(fetchFrom(missing)).rejects.toMatchObject(fails('archive_unavailable', /ENOENT/));
    for (const other of [directory, '/dev/zero'])
      await expect(fetchFrom(other)).rejects.toMatchObject(fails('archive_unavailable', /is not a file/));
  });
});
