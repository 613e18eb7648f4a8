import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { Agent, type ClientRequest, request } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { gunzipSync, gzipSync } from 'node:zlib';
import type { Spawn, SpawnedProcess } from '@fumehood/base';
import { protocolHeader, protocolVersion } from '@fumehood/protocol';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openTestServer, type TestServer } from '../db/testing.ts';
import type { Routes } from '../http/deps.ts';
import { gitRoutes } from '../http/executor/git.ts';
import { requestLimits } from '../http/limits.ts';
import { allRoutes } from '../http/routes.ts';
import { command, objectsIn, packets } from '../testing/git-protocol.ts';
import { type GitTarget, gitPath, startGitTarget } from '../testing/git-target.ts';
import { makeSource, type Source } from '../testing/source.ts';

/** Bounds of the size and the time of a request to the git route. */
const stallMs = 2_000;

let server: TestServer;
let source: Source;
/** A commit that, however it is packed, is larger than all buffers on the way. */
let big: string;
let target: GitTarget;
/** An instance that never gives up a stalled client. */
let patient: GitTarget;
/** An instance that keeps a connection for as long, but wants its answers read at 8 MiB per second. */
let hasty: GitTarget;
/** A started program is handed to the route when this resolves. */
let held: Promise<void> = Promise.resolve();
/** How many programs had been started before the test. */
let before: number;

beforeAll(async () => {
  server = openTestServer();
  source = makeSource();
  big = source.add('big', randomBytes(24 * 2 ** 20));
  target = await startGitTarget(server, {
    routes: withPatience(stallMs),
    limits: { ...requestLimits, drain: { ...requestLimits.drain, stallMs: 100 }, drainMs: 500 },
  });
  const clones = { perJob: 16, all: 16, waiting: 0 };
  patient = await startGitTarget(server, {
    routes: withPatience(3_600_000),
    limits: { ...requestLimits, stallMs: 3_600_000, clones },
  });
  hasty = await startGitTarget(server, {
    routes: withPatience(3_600_000),
    limits: { ...requestLimits, stallMs: 1_000, bytesPerSecond: 8 * 2 ** 20 },
  });
  for (const one of [target, patient, hasty]) {
    await one.put(big, source.alone(big));
    await one.lease(big);
  }
});
afterAll(async () => {
  await target.stop();
  await patient.stop();
  await hasty.stop();
  await server.stop();
  source.remove();
});
beforeEach(() => {
  before = target.started.length;
});

function withPatience(patienceMs: number): readonly Routes[] {
  const patientGitRoutes: Routes = (scope, deps) => {
    const spawn: Spawn = async (request) => {
      const process = await deps.spawn(request);
      await held;
      return process;
    };
    gitRoutes(scope, { ...deps, spawn }, { stallMs: patienceMs });
  };
  return allRoutes.map((routes) => (routes === gitRoutes ? patientGitRoutes : routes));
}

const startedSince = () => target.started.length - before;
const fetchRequest = () => command('fetch', `want ${big}`, 'done');
const bigFile = () => source.git(['rev-parse', `${big}:big`]);

/** Opens a request of `git-upload-pack` without sending its body. */
function opened({ instance, headers }: GitTarget, more: Record<string, string> = {}): ClientRequest {
  const sent = request(`${instance.url}${gitPath}/git-upload-pack`, {
    method: 'POST',
    headers: {
      ...headers(),
      'git-protocol': 'version=2',
      'content-type': 'application/x-git-upload-pack-request',
      ...more,
    },
  });
  sent.on('error', () => {}); // the tests look at the end of the connection instead
  return sent;
}
const closed = (sent: ClientRequest) =>
  new Promise<void>((resolve) => {
    sent.once('close', resolve);
  });

describe('a request', () => {
  /** About 1 MiB of valid lines. */
  const many = packets(...Array<string>(20_972).fill(`have ${'1'.repeat(40)}`));
  /** 12 MiB, gzipped to some kilobytes. */
  const bomb = () => {
    const head = packets('command=fetch', 'object-format=sha1', '0001', `want ${big}`);
    return gzipSync(Buffer.concat([head, ...Array<Buffer>(12).fill(many), packets('done', null)]));
  };

  it('may be gzipped, as git clients do', async () => {
    const { bytes } = await patient.ask(2, gzipSync(fetchRequest()), { 'content-encoding': 'gzip' });
    expect(objectsIn(bytes)).toContain(bigFile());
  });

  it('is refused when it is larger than any clone needs, before git is started', async () => {
    const long = opened(target, { 'content-length': String(2 ** 40) });
    long.flushHeaders();
    const [answer] = await once(long, 'response');
    expect(answer.statusCode).toBe(413);
    long.destroy();

    const endless = opened(target);
    const end = closed(endless);
    while (!endless.destroyed) {
      // The client sends for as long as the instance reads: only the instance ends this.
      if (!endless.write(many)) await Promise.race([once(endless, 'drain').catch(() => {}), end]);
    }
    await end;
    expect(startedSince()).toBe(0);
  });

  it('is refused when it unpacks to more than that', async () => {
    const { status, bytes } = await target.ask(2, bomb(), { 'content-encoding': 'gzip' });
    expect(status).toBe(413);
    expect(bytes.toString()).toContain('request_too_big');
    expect(startedSince()).toBe(0);
  });

  it('of any unpacked size is accepted by git itself', () => {
    const answer = execFileSync('git', ['http-backend'], {
      env: {
        PATH: process.env.PATH,
        GIT_PROJECT_ROOT: source.directory,
        GIT_HTTP_EXPORT_ALL: '1',
        REQUEST_METHOD: 'POST',
        PATH_INFO: '/.git/git-upload-pack',
        CONTENT_TYPE: 'application/x-git-upload-pack-request',
        HTTP_CONTENT_ENCODING: 'gzip',
        HTTP_GIT_PROTOCOL: 'version=2',
      },
      input: bomb(),
      maxBuffer: 2 ** 28,
    });
    expect(gunzipSync(bomb()).length).toBeGreaterThan(10 * 2 ** 20);
    expect(objectsIn(answer.subarray(answer.indexOf('\r\n\r\n') + 4))).toContain(bigFile());
  });

  it('is refused when it cannot be unpacked', async () => {
    const { status } = await target.ask(2, fetchRequest(), { 'content-encoding': 'gzip' });
    expect(status).toBe(400);
    expect(startedSince()).toBe(0);
  });
});

describe('the clones of one job', () => {
  const refs = `${gitPath}/info/refs?service=git-upload-pack`;
  /** Begins clones whose git never answers, and returns the statuses of those that were refused. */
  async function clones(one: GitTarget, count: number): Promise<number[]> {
    const refused: number[] = [];
    for (let n = 0; n < count; n += 1) {
      const sent = request(`${one.instance.url}${refs}`, { headers: one.headers(), agent: false });
      sent.on('error', () => {});
      sent.on('response', (answer) => void refused.push(answer.statusCode ?? 0));
      sent.end();
      waiting.push(sent);
    }
    await delay(700);
    return refused;
  }
  const waiting: ClientRequest[] = [];
  let release: () => void;

  beforeEach(() => {
    const { promise, resolve } = Promise.withResolvers<void>();
    held = promise;
    release = resolve;
    return () => {
      for (const sent of waiting.splice(0)) sent.destroy();
      release();
      held = Promise.resolve();
    };
  });

  it('take only a part of the processes; some wait, and clones of other jobs are served', async () => {
    const { perJob, waiting: mayWait } = requestLimits.clones;
    expect(await clones(target, perJob + mayWait)).toEqual([]);
    expect(startedSince()).toBe(perJob);
    expect(await clones(target, 3)).toEqual([429, 429, 429]);
    await target.lease(big);
    expect(await clones(target, 1)).toEqual([]);
    expect(startedSince()).toBe(perJob + 1);
  });

  it('take all of them where the share of a job is not bounded', async () => {
    const startedBefore = patient.started.length;
    expect(await clones(patient, 10)).toEqual([]);
    expect(patient.started.length - startedBefore).toBe(10);
  });
});

describe('a client', () => {
  /** Begins to read an answer that is larger than all buffers on the way, and stops reading. */
  async function stalled(one: GitTarget): Promise<{ sent: ClientRequest; git: SpawnedProcess }> {
    const sent = opened(one);
    sent.end(fetchRequest());
    const [answer] = await once(sent, 'response');
    answer.on('error', () => {});
    await once(answer, 'readable');
    return { sent, git: one.started.at(-1) as SpawnedProcess };
  }
  const ended = async (git: SpawnedProcess, withinMs: number) =>
    await Promise.race([git.exited.then(() => true), delay(withinMs, false)]);

  it('that sends only a part of its request is disconnected, and no git waits for it', async () => {
    const sent = opened(target, { 'content-length': '1000' });
    sent.write(fetchRequest().subarray(0, 10));
    await closed(sent);
    expect(startedSince()).toBe(0);
  });

  it('that stops reading is disconnected, and its git is killed', async () => {
    const waiting = await stalled(patient);
    const { sent, git } = await stalled(target);
    expect(await ended(git, 30_000)).toBe(true);
    sent.destroy();
    // On the instance that does not give up, git waits for its client, and ends with it.
    expect(await ended(waiting.git, 500)).toBe(false);
    waiting.sent.destroy();
    expect(await ended(waiting.git, 30_000)).toBe(true);
  });

  it('that reads too slowly loses its git, though its connection does not stall', async () => {
    const slow = async (one: GitTarget) => {
      const sent = opened(one);
      sent.end(fetchRequest());
      const [answer] = await once(sent, 'response');
      answer.on('error', () => {});
      // Some bytes move all the time.
      const timer = setInterval(() => answer.read(65_536), 50);
      const git = one.started.at(-1) as SpawnedProcess;
      const over = await ended(git, 3_500);
      clearInterval(timer);
      sent.destroy();
      await git.exited;
      return over;
    };
    expect(await slow(hasty)).toBe(true);
    expect(await slow(patient)).toBe(false);
  });

  it('that waits for a job on the same connection is not disconnected', async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const send = async (method: string, path: string, headers: Record<string, string>, body = '') => {
      const sent = request(`${target.instance.url}${path}`, { method, agent, headers });
      sent.end(body);
      const [answer] = await once(sent, 'response');
      answer.resume();
      await once(answer, 'end');
      return [answer.statusCode, sent.reusedSocket];
    };
    const refs = `${gitPath}/info/refs?service=git-upload-pack`;
    expect(await send('GET', refs, target.headers())).toEqual([200, false]);
    const free = { freeCpus: 1, freeMemoryMiB: 1024, freeScratchMiB: 4096 };
    const total = { cpus: 1, memoryMiB: 1024, scratchMiB: 4096 };
    const fumehood = { tiers: ['vm-emulated'], arch: 'x64', total, ...free, waitMs: 1.5 * stallMs };
    const credential = {
      authorization: `token-executor ${target.instance.credential}`,
      [protocolHeader]: String(protocolVersion),
    };
    const body = JSON.stringify({ executorName: 'e1', version: '1', queues: ['runs'], fumehood });
    expect(await send('POST', '/.executors/queue/dequeue', credential, body)).toEqual([204, true]);
    agent.destroy();
  });

  it('that leaves while its git is being started leaves no git behind', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    held = promise;
    const sent = opened(target);
    sent.end(fetchRequest());
    await expect.poll(startedSince).toBe(1);
    sent.destroy();
    await delay(500);
    resolve();
    expect(await ended(target.started.at(-1) as SpawnedProcess, 30_000)).toBe(true);
  });
});
