import { join } from 'node:path';
import type { LogEntry } from '@fumehood/protocol';
import { busyboxImage } from '../../packages/executor/src/testing/test-images.ts';
import { Stack } from '../../test/stack.ts';
import type { Report } from './report.ts';
import { type Time, timeOf } from './time.ts';

const rounds = 15;
const fumehood = join(import.meta.dirname, '../../packages/fumehood/bin/fumehood.mjs');

/** Measures `fumehood run` of `echo` as a shell sees it, on an instance and an executor that were started for it. */
export async function measureCommand(root: string, report: Report): Promise<void> {
  const stack = await Stack.make();
  const env = { ...process.env, FUMEHOOD_STATE: stack.state };
  const call = (args: readonly string[]) => timeOf(process.execPath, [fumehood, ...args], env);
  try {
    const { file } = await busyboxImage(root, 'command');
    const { code, stderr } = await stack.fumehood(['up']);
    if (code !== 0) throw new Error(`fumehood up failed: ${stderr}`);
    const run = () =>
      call(['run', '--accept', 'vm-emulated', `docker-archive:${file}`, '--', 'echo', 'hello']);
    for (let warming = 0; warming < 3; warming++) await run(); // makes the disk and the template
    const runs = [];
    for (let round = 0; round < rounds; round++) runs.push(await run());
    report.add(
      '`fumehood run` of `echo` → first byte',
      runs.map(({ firstByte }) => firstByte),
    );
    report.add(
      '`fumehood run` of `echo` → its end',
      runs.map(({ end }) => end),
    );
    const parts = [];
    for (let round = 0; round < 7; round++) parts.push(await partsOf(stack, run));
    for (const name of Object.keys(parts[0] ?? {}))
      report.add(
        `— of it, ${name}`,
        parts.map((one) => one[name] ?? Number.NaN),
      );
    const walls = [];
    for (let round = 0; round < 3; round++) {
      const start = performance.now();
      const eight = await Promise.all(Array.from({ length: 8 }, run));
      if (eight.some((one) => one.code !== 0)) throw new Error('a run failed');
      walls.push(performance.now() - start);
    }
    report.add('8 `fumehood run` at once → the last one ended', walls);
    const versions = [];
    for (let round = 0; round < rounds; round++) versions.push((await call(['--version'])).end);
    report.add('`fumehood --version`', versions);
  } finally {
    await stack.stop();
  }
}

/** Runs a job and returns the parts of its time, ms, by the times that instance and executor have stored of it. */
async function partsOf(stack: Stack, run: () => Promise<Time>): Promise<Record<string, number>> {
  const began = Date.now();
  const { code } = await run();
  const ended = Date.now();
  const client = stack.client();
  const [job] = (await client.jobs({ limit: 1 })).jobs;
  if (code !== 0 || !job) throw new Error('a run failed');
  const entries = new Map<string, LogEntry>();
  for await (const event of client.events(job.id, { follow: false }))
    if (event.type === 'entry') entries.set(event.entry.key, event.entry);
  const start = (key: string) => Date.parse(entries.get(key)?.startTime ?? '');
  const end = (key: string) => start(key) + (entries.get(key)?.durationMs ?? Number.NaN);
  const [queued, leased, finished] = [job.queuedAt, job.startedAt, job.finishedAt].map((at) =>
    Date.parse(at ?? ''),
  );
  const at = [
    began,
    queued,
    leased,
    start('setup.image'),
    start('setup.vm'),
    end('setup.vm'),
    end('setup.guest'),
    end('step.docker.0'),
    end('teardown.vm'),
    finished,
    ended,
  ];
  const names = [
    'the command line until the job is created',
    'until it is leased',
    'until the lease is confirmed',
    'the image disk',
    'the VM, until it confirmed',
    'the mounts of the guest',
    'the step',
    'destroying the VM',
    'reporting the end',
    'the command line after it',
  ];
  return Object.fromEntries(
    names.map((name, index) => [name, (at[index + 1] ?? Number.NaN) - (at[index] ?? Number.NaN)]),
  );
}
