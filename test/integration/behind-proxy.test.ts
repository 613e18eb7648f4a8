import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pipeline, Readable } from 'node:stream';
import { json, text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { openFetch } from '@fumehood/base';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { WaitingAgent } from '../../packages/executor/src/testing/waiting-agent.ts';
import { openHttp } from '../../packages/executor/src/uplink/http.ts';
import { joinInstance } from '../../packages/executor/src/uplink/join.ts';
import { applyRoute, routeSchema } from '../../packages/executor/src/uplink/network-route.ts';
import { openTestServer, type TestServer } from '../../packages/instance/src/db/testing.ts';
import {
  type ExecutorClient,
  executorClient,
  nativeOffer,
} from '../../packages/instance/src/testing/executor-client.ts';
import { startTestInstance, type TestInstance } from '../../packages/instance/src/testing/instance.ts';
import { long } from '../long.ts';
import { type ProxyServer, startCaddy, startNginx } from './behind-proxy-servers.ts';
import { type Authority, type CertificateFiles, makeAuthority } from './certificates.ts';

/** Tests an instance behind the proxies of docs/install.md, with the settings of that page. */
const MiB = 2 ** 20;
const command = resolve(import.meta.dirname, '../../packages/fumehood/bin/fumehood.mjs');
let directory: string;
let authority: Authority;
let files: CertificateFiles;
let server: TestServer;
let instance: TestInstance;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'fumehood-behind-'));
  authority = makeAuthority(directory, 'ours');
  files = authority.issue('proxy', ['localhost']);
  server = openTestServer();
});
afterAll(async () => {
  await server.stop();
  rmSync(directory, { recursive: true });
});
const place = () => ({ directory, files, instances: [Number(new URL(instance.url).port)] });

/** Sends so many bytes under the token. Returns the status of the answer and its code, or the error of the connection. */
async function upload(
  { url }: ProxyServer,
  path: string,
  sent: { method: string; bytes: number; token: string; announced: boolean },
): Promise<string> {
  const asked = request(`${url}${path}`, {
    method: sent.method,
    ca: readFileSync(authority.caFile),
    agent: false,
    headers: {
      authorization: `token ${sent.token}`,
      'content-type': 'application/json',
      ...(sent.announced && { 'content-length': sent.bytes }),
    },
  });
  const answered = once(asked, 'response');
  pipeline(Readable.from(chunksOf(sent.bytes)), asked, () => {}); // an answer may end it
  try {
    const [answer] = (await answered) as [IncomingMessage];
    const { error } = (await json(answer)) as { error: { code: string } };
    return `${answer.statusCode} ${error.code}`;
  } catch (error) {
    return String((error as NodeJS.ErrnoException).code ?? error);
  }
}
const chunk = randomBytes(MiB);
function* chunksOf(bytes: number): Generator<Buffer> {
  for (let sent = 0; sent < bytes; sent += MiB) yield chunk;
}

describe.each([
  ['nginx', startNginx],
  ['Caddy', startCaddy],
])('an instance behind %s, under a path,', (_, start) => {
  let proxy: ProxyServer;
  let undoRoute: () => void;
  beforeAll(async () => {
    instance = await startTestInstance(await server.clone(), { url: 'https://example.com/fumehood' });
    proxy = await start(place());
    undoRoute = await applyRoute(proxy.url, routeSchema.parse({ caFile: authority.caFile }));
  });
  afterAll(async () => {
    undoRoute();
    await proxy[Symbol.asyncDispose]();
    await instance.stop();
  });
  const through = (name = 'e1'): ExecutorClient =>
    executorClient({ url: proxy.url, credential: instance.credential, name });

  test('has people log in, and executors join, at the address with the path', async () => {
    const fumehood = async (args: string[], input = '') => {
      const env = { PATH: process.env.PATH, HOME: directory, NODE_EXTRA_CA_CERTS: authority.caFile };
      const child = spawn(process.execPath, [command, ...args], { env });
      child.stdin.end(input);
      const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
      return stdout || stderr;
    };
    expect(await fumehood(['login', proxy.url], instance.accessToken)).toContain(proxy.url);
    const added = await fumehood(['executors', 'add', 'lab']);
    const [, url, token = ''] = /^fumehood executor join (\S+) --token (\S+)\n$/.exec(added) ?? [];
    expect(url, added).toBe('https://example.com/fumehood');
    const { credential } = await joinInstance(openHttp(proxy.url), token);
    const joined = executorClient({ url: proxy.url, credential, name: 'lab' });
    expect((await joined.heartbeat({ queueNames: ['runs'] })).status).toBe(200);
  });

  test('answers a held lease when there is a job, and gives none to an executor that has gone', async () => {
    const leaving = new AbortController();
    const left = through().dequeue(
      { queues: ['runs'], fumehood: nativeOffer({ waitMs: 30_000 }) },
      { signal: leaving.signal },
    );
    await sleep(300); // the instance holds the request by now
    leaving.abort();
    await expect(left).rejects.toThrow('aborted');
    await sleep(300);
    const { id } = await instance.run();
    await sleep(300);
    const job = await instance.api('GET', `/api/jobs/${id}`);
    expect(await job.json()).toMatchObject({ state: 'queued' });
    expect((await through('e2').lease())?.id).toBe(id);
    const leasing = through('e3').lease({ waitMs: 30_000 });
    await sleep(300);
    const next = await instance.run();
    const began = Date.now();
    expect((await leasing)?.id).toBe(next.id);
    expect(Date.now() - began).toBeLessThan(5_000);
  });

  test('sends an order to a running job at once, while no heartbeat is answered', async () => {
    const agent = new WaitingAgent(proxy.url, instance.credential);
    try {
      const { id } = await instance.run();
      await expect.poll(() => [...agent.running], { timeout: 20_000 }).toEqual([`${id} 1`]);
      await expect.poll(() => agent.answered.some((path) => path.includes('/push'))).toBe(true);
      agent.withheld = /heartbeat/;
      await instance.api('POST', `/api/jobs/${id}/cancel`);
      const stopped = [{ job: `${id} 1`, code: 'canceled' }];
      await expect.poll(() => agent.stopped, { timeout: 5_000 }).toEqual(stopped);
    } finally {
      await agent.stop();
    }
  });

  test('sends output to a reader at once', async () => {
    const { id } = await instance.run();
    const job = await through().lease();
    if (job?.id !== id) throw new Error('the job was not leased');
    const reading = new AbortController();
    const events = await fetch(`${proxy.url}/api/jobs/${id}/events`, {
      headers: { authorization: `token ${instance.accessToken}` },
      signal: reading.signal,
    });
    let seen = '';
    const reads = (async () => {
      for await (const part of events.body ?? []) seen += Buffer.from(part).toString();
    })().catch(() => {});
    const entry = { key: 'step.docker.0', command: [], startTime: '2026-01-02T03:04:05Z', out: '' };
    const number = (await (await through().job(job).addEntry(entry)).json()) as number;
    let offset = 0;
    for (const said of ['one\n', 'two\n']) {
      expect((await through().job(job).append(number, 'stdout', offset, said)).status).toBeLessThan(300);
      offset += said.length;
      const wanted = Buffer.from(said).toString('base64');
      await expect.poll(() => seen, { timeout: 5_000 }).toContain(wanted);
    }
    reading.abort();
    await reads;
  });

  test('takes a large upload in chunks, which the proxy keeps neither in memory nor in a file', async () => {
    const bytes = (long ? 1_024 : 64) * MiB;
    const hash = createHash('sha256');
    for (const part of chunksOf(bytes)) hash.update(part);
    const before = proxy.peakMiB();
    const answer = await openFetch(proxy.url)({
      method: 'PUT',
      path: `/api/blobs/sha256:${hash.digest('hex')}`,
      headers: { authorization: `token ${instance.accessToken}` },
      body: Readable.from(chunksOf(bytes)),
    });
    expect([answer.status, await answer.text()]).toEqual([201, expect.any(String)]);
    expect(proxy.peakMiB() - before).toBeLessThan(32);
  });

  const blob = `/api/blobs/sha256:${'0'.repeat(64)}`;
  test.each([
    ['401 unauthorized', 'PUT', blob, false],
    ['404 not_found', 'PUT', '/api/nothing', true],
    ['413 invalid_request', 'POST', '/api/jobs', true],
  ])(
    'refuses an upload with %s, which arrives while the client still sends',
    async (refusal, method, path, known) => {
      const token = known ? instance.accessToken : 'x'.repeat(40);
      const bytes = (long ? 256 : 32) * MiB;
      for (const announced of [true, false, true, false])
        expect(await upload(proxy, path, { method, bytes, token, announced })).toBe(refusal);
    },
  );
});

test('the settings of nginx are needed: with its own, it would store an upload in a file', async () => {
  const change = (settings: string) => settings.replace('proxy_request_buffering off;', '');
  instance = await startTestInstance(await server.clone());
  await using proxy = await startNginx(place(), change);
  const sent = { method: 'PUT', bytes: 8 * MiB, token: instance.accessToken, announced: true };
  // The proxy cannot write a file here.
  expect(await upload(proxy, `/api/blobs/sha256:${'0'.repeat(64)}`, sent)).toMatch(/SyntaxError|ECONN|EPIPE/);
  await instance.stop();
});
