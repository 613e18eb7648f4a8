import { spawn } from 'node:child_process';
import { chmodSync, closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { makeAuthority } from '../integration/certificates.ts';
import { Stack } from '../stack.ts';
import { DelayProxy } from './delay-proxy.ts';
import {
  countingOutput,
  countingScript,
  eventsOf,
  expectFirstAttemptFenced,
  expectNoJobFiles,
  shellJob,
  startWithImage,
  stepOutput,
  textOf,
  untilOutput,
  vmmOf,
} from './jobs.ts';
import { Link } from './link.ts';
import { deathOf, isAlive, signal, treeOf } from './processes.ts';
import { secondExecutor } from './second-executor.ts';

/** The length of a lease, and the time between two heartbeats that renew it. */
const leaseMs = 10_000;
const heartbeatMs = 2_000;
/** A job prints this many lines in about ten seconds. */
const lines = 100;

let stack: Stack;
let link: Link;
let image: string;
/** How the executor reaches the instance: over TLS, from its own network. */
let tlsListener: { readonly port: number; readonly caFile: string };

beforeAll(async () => {
  stack = await Stack.make();
  link = await Link.make();
  const authority = makeAuthority(stack.state, 'ours');
  const files = authority.issue('instance', [link.here]);
  tlsListener = { port: await freePort(link.here), caFile: authority.caFile };
  for (const file of Object.values(files)) chmodSync(file, 0o644);
  const tls = { address: link.here, port: tlsListener.port, ...files };
  writeFileSync(join(stack.state, 'settings.json'), JSON.stringify({ hosts: [link.here], tls }));
  image = await startWithImage(stack);
  await replaceExecutor('far', tlsListener.port);
});
afterEach(() => link.heal());
afterAll(async () => {
  link?.heal(); // the executor cannot stop without its instance
  await stack.stop().finally(() => link?.remove());
});

async function freePort(host: string): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Replaces the running executor by one in a network of its own, which reaches the instance at a port of this end of the link. */
async function replaceExecutor(name: string, port: number): Promise<void> {
  const pid = stack.pid('executor');
  const [running] = treeOf(pid);
  const [node = '', helper = '', file = ''] = running?.command.split(' ') ?? [];
  for (let tries = 0; isAlive(pid); tries += 1) {
    if (tries < 2) signal(pid, 'SIGTERM');
    await sleep(100);
  }
  const settings = JSON.parse(readFileSync(file, 'utf8')) as object;
  const instanceUrl = `https://${link.here}:${port}`;
  writeFileSync(
    file,
    JSON.stringify({ ...settings, name, instanceUrl, route: { caFile: tlsListener.caFile } }),
  );
  const log = openSync(join(stack.state, 'run/logs/executor.log'), 'a');
  const [program = '', ...args] = link.enter(node, helper, file);
  spawn(program, args, { cwd: '/', stdio: ['ignore', log, log] });
  closeSync(log);
  const names = async () => (await stack.client().status()).executors.map((executor) => executor.name);
  await vi.waitFor(async () => expect(await names()).toContain(name), { timeout: 60_000, interval: 100 });
  await vi.waitFor(() => expect(stack.pid('executor')).not.toBe(pid));
}

/** Starts a job that counts, and waits for its first output. */
async function startCounting(count: number): Promise<number> {
  const { id } = await stack.client().createJob(shellJob(image, countingScript(count)));
  await untilOutput(stack, id);
  return id;
}

/** Expects that the job completed in one attempt with each byte of output once. */
async function expectUninterrupted(id: number, count: number): Promise<void> {
  const events = await eventsOf(stack, id);
  expect(await stack.client().attempts(id)).toMatchObject([{ attempt: 1, outcome: 'completed' }]);
  expect(textOf(events, 1)).toBe(countingOutput(count));
  await expectNoJobFiles(stack);
}

describe('an executor that is cut off for longer than its lease', () => {
  test('loses its VM before another executor gets the job, and is fenced off when the link is back', {
    timeout: 180_000,
  }, async () => {
    const id = await startCounting(10_000);
    const vmm = vmmOf(stack, id);
    const second = secondExecutor(stack);
    const cutAt = performance.now();
    link.cut();
    const job = await second.takeOver({ id, vmm, lostAt: cutAt });
    link.heal();
    // Requests that were under way when the link was cut arrive now.
    for (let n = 0; n < 5; n += 1) {
      await sleep(2_000);
      await second.expectLeaseKept(job);
    }
    expect(await second.complete(job)).toBe(204);
    const events = await eventsOf(stack, id);
    expectFirstAttemptFenced(events);
    const text = textOf(events, 1);
    expect(text).not.toBe('');
    expect(countingOutput(10_000).startsWith(text), text).toBe(true);
    expect(await stack.client().attempts(id)).toMatchObject([
      { attempt: 1, outcome: 'lost', executor: 'far', failure: { reason: 'lease_lost' } },
      { attempt: 2, outcome: 'completed', executor: 'second' },
    ]);
    await expectNoJobFiles(stack);
  });

  test('runs the next attempt of the job when the link is back', { timeout: 180_000 }, async () => {
    const id = await startCounting(lines);
    const vmm = vmmOf(stack, id);
    link.cut();
    await deathOf(vmm);
    await sleep(leaseMs / 2);
    link.heal();
    const events = await eventsOf(stack, id);
    expect(await stack.client().attempts(id)).toMatchObject([
      { attempt: 1, outcome: 'lost', failure: { reason: 'lease_lost' } },
      { attempt: 2, outcome: 'completed', executor: 'far' },
    ]);
    expect(countingOutput(lines).startsWith(textOf(events, 1))).toBe(true);
    expect(textOf(events, 2)).toBe(countingOutput(lines));
    await expectNoJobFiles(stack);
  });
});

describe('an executor that is cut off for less than its lease', () => {
  test.each([0, 1])(
    'loses no output and no attempt (%i half heartbeats after the first output)',
    { timeout: 120_000 },
    async (n) => {
      const id = await startCounting(lines);
      await sleep((n * heartbeatMs) / 2);
      link.cut();
      await sleep(leaseMs / 2 - 500);
      link.heal();
      await expectUninterrupted(id, lines);
    },
  );

  test('repeats requests whose answers were lost, and the instance applies each once', {
    timeout: 120_000,
  }, async () => {
    const id = await startCounting(lines);
    let arrived = '';
    const following = (async () => {
      for await (const output of stepOutput(stack, id)) arrived += output;
    })();
    for (let cuts = 0; cuts < 2; cuts += 1) {
      await sleep(500);
      const before = arrived;
      link.loseAnswers();
      await sleep(leaseMs / 2 - 1_000);
      // The instance stored at least one batch whose answer never reached the executor.
      expect(arrived.length).toBeGreaterThan(before.length);
      link.heal();
      await vi.waitFor(() => expect(arrived.length).toBeGreaterThan(before.length + 20), { timeout: 20_000 });
    }
    await following;
    await expectUninterrupted(id, lines);
  });

  test('repeats the completion of a job whose answer was lost, and the instance applies it once', {
    timeout: 120_000,
  }, async () => {
    const id = await startCounting(10);
    link.loseAnswers();
    await sleep(leaseMs / 2 - 1_000);
    link.heal();
    await expectUninterrupted(id, 10);
  });
});

test('a link with a delay of half a second each way slows a job down but costs no attempt', {
  timeout: 180_000,
}, async () => {
  const proxy = new DelayProxy(link.here, tlsListener.port, 500);
  try {
    await replaceExecutor('slow', await proxy.open());
    const id = await startCounting(lines);
    expect((await stack.client().job(id)).attempt).toBe(1);
    await expectUninterrupted(id, lines);
  } finally {
    await proxy.close();
  }
});
