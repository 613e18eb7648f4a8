import { spawn } from 'node:child_process';
import { chmodSync, closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { JobEvent } from '@fumehood/protocol';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { makeAuthority } from '../integration/certificates.ts';
import { Stack } from '../stack.ts';
import { Link } from './link.ts';
import { textOf } from './output.ts';
import { deathOf, isAlive, type Process, signal, treeOf } from './processes.ts';
import { secondExecutor } from './second-executor.ts';
import { SlowWay } from './slow-way.ts';
import { upWithImage } from './up.ts';

/** What the instance grants, and how often an executor asks for it again. */
const leaseMs = 10_000;
const beatMs = 2_000;
/** From a cut to the next attempt. */
const requeueMs = 15_000;
/** A job that talks this long, if it is not told otherwise. */
const lines = 100;
const counting = (count: number) => `n=0; while [ $n -lt ${count} ]; do echo $n; n=$((n+1)); sleep 0.1; done`;
const counted = (count: number) => Array.from({ length: count }, (_, n) => `${n}\n`).join('');

let stack: Stack;
let link: Link;
let image: string;
/** How the executor reaches the instance: over TLS, from its own network. */
let secure: { readonly port: number; readonly caFile: string };

beforeAll(async () => {
  stack = await Stack.make();
  link = await Link.make();
  const authority = makeAuthority(stack.state, 'ours');
  const files = authority.issue('instance', [link.here]);
  secure = { port: await freePort(link.here), caFile: authority.caFile };
  for (const file of Object.values(files)) chmodSync(file, 0o644);
  const tls = { address: link.here, port: secure.port, ...files };
  writeFileSync(join(stack.state, 'settings.json'), JSON.stringify({ hosts: [link.here], tls }));
  image = await upWithImage(stack);
  await startFarExecutor('far', secure.port);
});
afterEach(() => link.heal());
afterAll(async () => {
  link?.heal(); // or the executor could not stop
  await stack.stop().finally(() => link?.remove());
});

async function freePort(host: string): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** In place of the executor that runs, one that has its own network, and reaches the instance at a port of this end. */
async function startFarExecutor(name: string, port: number): Promise<void> {
  const pid = stack.pid('executor');
  const [running] = treeOf(pid);
  const [node = '', helper = '', file = ''] = running?.command.split(' ') ?? [];
  for (let tries = 0; isAlive(pid); tries += 1) {
    if (tries < 2) signal(pid, 'SIGTERM');
    await sleep(100);
  }
  const settings = JSON.parse(readFileSync(file, 'utf8')) as object;
  const instanceUrl = `https://${link.here}:${port}`;
  writeFileSync(file, JSON.stringify({ ...settings, name, instanceUrl, route: { caFile: secure.caFile } }));
  const log = openSync(join(stack.state, 'run/logs/executor.log'), 'a');
  const [program = '', ...args] = link.enter(node, helper, file);
  spawn(program, args, { cwd: '/', stdio: ['ignore', log, log] });
  closeSync(log);
  const names = async () => (await stack.client().status()).executors.map((executor) => executor.name);
  await vi.waitFor(async () => expect(await names()).toContain(name), { timeout: 60_000, interval: 100 });
  await vi.waitFor(() => expect(stack.pid('executor')).not.toBe(pid));
}

/** A job that has begun to count. */
async function countingJob(count: number): Promise<{ id: number; vmm: Process }> {
  const { id } = await stack.client().createJob({
    queue: 'runs',
    image,
    argv: ['sh', '-c', counting(count)],
    accept: ['vm-hardware', 'vm-emulated'],
    memoryMiB: 192,
    scratchMiB: 64,
  });
  for await (const output of outputOf(id)) if (output) break;
  const vmm = treeOf(stack.pid('executor')).find(({ command }) => command.includes(`-name fumehood-j${id}-`));
  if (!vmm) throw new Error('the job has no virtual machine');
  return { id, vmm };
}

/** What its steps write, as it comes. */
async function* outputOf(id: number): AsyncGenerator<string> {
  const steps = new Set<number>();
  for await (const event of stack.client().events(id)) {
    if (event.type === 'entry' && event.entry.key.startsWith('step.')) steps.add(event.entry.entry);
    if (event.type === 'output' && steps.has(event.entry)) yield Buffer.from(event.data, 'base64').toString();
  }
}

async function eventsOf(id: number): Promise<JobEvent[]> {
  const events: JobEvent[] = [];
  for await (const event of stack.client().events(id)) events.push(event);
  return events;
}

/** One attempt did it, and each byte is there once. */
async function expectUntouched(id: number, count: number): Promise<void> {
  const events = await eventsOf(id);
  expect(await stack.client().attempts(id)).toMatchObject([{ attempt: 1, outcome: 'completed' }]);
  expect(textOf(events, 1)).toBe(counted(count));
  await expect.poll(() => stack.jobFiles(), { timeout: 15_000 }).toEqual([]);
}

describe('an executor that is cut off for longer than its lease', () => {
  test('has lost its VM before another one gets the job, and its words are refused when it is back', {
    timeout: 180_000,
  }, async () => {
    const { id, vmm } = await countingJob(10_000);
    const second = secondExecutor(stack);
    const cutAt = performance.now();
    link.cut();
    const [died, next] = await Promise.all([deathOf(vmm), second.lease()]);
    expect(next.job).toMatchObject({ id, fumehood: { attempt: 2 } });
    expect(died, `the VM outlived its lease by ${died - next.at} ms`).toBeLessThan(next.at);
    expect(next.at - cutAt, 'from the cut to the next attempt').toBeLessThan(requeueMs);
    link.heal();
    // What was under way when the link was cut arrives now.
    for (let n = 0; n < 5; n += 1) {
      await sleep(2_000);
      expect(await second.beat(next.job)).toEqual([`${id}-runs`]);
    }
    expect(await second.complete(next.job)).toBe(204);
    const events = await eventsOf(id);
    const secondAt = events.findIndex((event) => event.type === 'job' && event.job.attempt === 2);
    const late = events.slice(secondAt).filter((event) => event.type !== 'job');
    expect(late, 'what the first attempt wrote after the second one began').toEqual([]);
    const text = textOf(events, 1);
    expect(text).not.toBe('');
    expect(counted(10_000).startsWith(text), text).toBe(true);
    expect(await stack.client().attempts(id)).toMatchObject([
      { attempt: 1, outcome: 'lost', executor: 'far', failure: { reason: 'lease_lost' } },
      { attempt: 2, outcome: 'completed', executor: 'second' },
    ]);
    await expect.poll(() => stack.jobFiles(), { timeout: 15_000 }).toEqual([]);
  });

  test('does the job anew when it is back', { timeout: 180_000 }, async () => {
    const { id, vmm } = await countingJob(lines);
    link.cut();
    await deathOf(vmm);
    await sleep(leaseMs / 2);
    link.heal();
    const events = await eventsOf(id);
    expect(await stack.client().attempts(id)).toMatchObject([
      { attempt: 1, outcome: 'lost', failure: { reason: 'lease_lost' } },
      { attempt: 2, outcome: 'completed', executor: 'far' },
    ]);
    expect(counted(lines).startsWith(textOf(events, 1))).toBe(true);
    expect(textOf(events, 2)).toBe(counted(lines));
    await expect.poll(() => stack.jobFiles(), { timeout: 15_000 }).toEqual([]);
  });
});

describe('an executor that is cut off for less', () => {
  test.each([0, 1])(
    'than its lease loses nothing, wherever it was between two heartbeats (%i)',
    { timeout: 120_000 },
    async (n) => {
      const { id } = await countingJob(lines);
      await sleep((n * beatMs) / 2);
      link.cut();
      await sleep(leaseMs / 2 - 500);
      link.heal();
      await expectUntouched(id, lines);
    },
  );

  test('and hears no answer while its words arrive, has nothing done twice', {
    timeout: 120_000,
  }, async () => {
    const { id } = await countingJob(lines);
    let arrived = '';
    const following = (async () => {
      for await (const output of outputOf(id)) arrived += output;
    })();
    for (let cuts = 0; cuts < 2; cuts += 1) {
      await sleep(500);
      const before = arrived;
      link.loseAnswers();
      await sleep(leaseMs / 2 - 1_000);
      // One batch at least was taken, and its sender does not know.
      expect(arrived.length).toBeGreaterThan(before.length);
      link.heal();
      await vi.waitFor(() => expect(arrived.length).toBeGreaterThan(before.length + 20), { timeout: 20_000 });
    }
    await following;
    await expectUntouched(id, lines);
  });

  test('and hears no answer when it tells the end of its job, tells it again and is believed once', {
    timeout: 120_000,
  }, async () => {
    const { id } = await countingJob(10);
    link.loseAnswers();
    await sleep(leaseMs / 2 - 1_000);
    link.heal();
    await expectUntouched(id, 10);
  });
});

test('a slow link, half a second each way, slows a job down and costs no attempt', {
  timeout: 180_000,
}, async () => {
  const slow = new SlowWay(link.here, secure.port, 500);
  try {
    await startFarExecutor('slow', await slow.open());
    const { id } = await countingJob(lines);
    expect((await stack.client().job(id)).attempt).toBe(1);
    await expectUntouched(id, lines);
  } finally {
    await slow.close();
  }
});
