import { createReadStream, readdirSync, statSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { guestRecipe } from '@fumehood/microvm';
import { protocolVersion } from '@fumehood/protocol';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { testGuest } from '../../packages/executor/src/testing/test-guest.ts';
import { busyboxImage } from '../../packages/executor/src/testing/test-images.ts';
import { type Foreground, startCommand } from '../foreground.ts';
import { long } from '../long.ts';
import { Stack } from '../stack.ts';
import {
  countingOutput,
  countingScript,
  eventsOf,
  expectNoJobFiles,
  shellJob,
  textOf,
  untilOutput,
} from './jobs.ts';
import { type OtherVersion, writeVersions } from './other-version.ts';

const lines = 10;
const [older, newer] = [
  { version: '0.0.1', protocol: protocolVersion - 1 },
  { version: '9.0.0', protocol: protocolVersion + 1 },
];

let directory: string;
let instance: Stack;
let machine: Stack;
let served: Foreground;
let versions: readonly OtherVersion[];
let executor: Foreground;
let image: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'versions-'));
  instance = await Stack.make({ fresh: true });
  machine = await Stack.make({ fresh: true });
  served = startCommand(instance, ['instance', 'start']);
  versions = await writeVersions(directory, [older, newer]);
  const [before] = versions as [OtherVersion];
  await testGuest(join(machine.state, 'guest'), { ...guestRecipe, init: before.init });
  await vi.waitFor(() => instance.client().jobs(), { timeout: 60_000, interval: 100 });
  const { file, digest } = await busyboxImage(instance.state, 'plain');
  await instance.client().putBlob(digest, createReadStream(file), statSync(file).size);
  image = digest;
  const { token } = await instance.client().access.createJoinToken({ name: 'upgraded' });
  const url = `unix:${join(instance.state, 'run/instance/socket')}`;
  executor = start(before, ['executor', 'join', url, '--token', token, '--foreground']);
  await untilVersion(before.version);
});
afterAll(async () => {
  for (const process of [executor, served]) await process?.stop();
  for (const stack of [machine, instance]) await stack.stop();
  await rm(directory, { recursive: true, force: true });
});

function start({ command }: OtherVersion, args: readonly string[]): Foreground {
  return startCommand(machine, args, { command });
}

async function untilVersion(version: string): Promise<void> {
  const seen = async () =>
    expect((await instance.client().status()).executors, executor.log()).toMatchObject([{ version }]);
  await vi.waitFor(seen, { timeout: 60_000, interval: 100 });
}

/** Starts a job that needs all processors, so that one runs at a time. */
async function startJob(count: number): Promise<number> {
  const job = { ...shellJob(image, countingScript(count)), cpus: availableParallelism() };
  return (await instance.client().createJob(job)).id;
}

// The gate upgrades; the night goes back, too.
test.each(
  [
    ['older', 'newer', 0, 1],
    ['newer', 'older', 1, 0],
  ].slice(0, long ? 2 : 1) as [string, string, number, number][],
)(
  'an executor of the %s version finishes its job, one of the %s version runs the next, and no job runs twice',
  async (_from, _to, _before, after) => {
    const running = await startJob(lines);
    await untilOutput(instance, running);
    const waiting = await startJob(1);
    const next = versions[after] as OtherVersion;
    expect(await executor.stop(), executor.log()).toBe(0);
    expect(await instance.client().job(running)).toMatchObject({ state: 'completed', attempt: 1 });
    expect(await instance.client().job(waiting)).toMatchObject({ state: 'queued', attempt: 0 });
    executor = start(next, ['executor', 'start']);
    await untilVersion(next.version);
    for (const [id, count] of [
      [running, lines],
      [waiting, 1],
    ] as const) {
      expect(textOf(await eventsOf(instance, id), 1)).toBe(countingOutput(count));
      expect(await instance.client().attempts(id)).toMatchObject([{ attempt: 1, outcome: 'completed' }]);
    }
    await expectNoJobFiles(machine);
    // The programs of the version before are gone.
    const runtimes = readdirSync(join(machine.state, 'runtime')).filter((name) => /^[0-9a-f]{16}/.test(name));
    expect(runtimes).toEqual([expect.stringContaining(next.version)]);
  },
);
