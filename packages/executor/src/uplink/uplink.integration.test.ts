import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { collect, openFileCache, systemClock } from '@fumehood/base';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fakeClock } from '../testing/fake-clock.ts';
import { FakeInstance } from '../testing/fake-instance.ts';
import { testJob } from '../testing/test-job.ts';
import { fetchBlob } from './fetch-blob.ts';
import { openHttp } from './http.ts';
import { openJobStdin } from './job-stdin.ts';
import { type JobClient, openJobClient } from './job-client.ts';
import { openPhaseLog } from './phase-log.ts';
import { openQueue } from './queue.ts';

const plainJob = testJob();
const identity = {
  name: 'test',
  version: '0',
  tiers: ['vm-emulated' as const],
  arch: 'x64' as const,
  labels: [],
  network: true,
  machine: 'here',
};
const fixed = (secret: string) => ({ secret, renew: async () => false });
const free = { cpus: 1, memoryMiB: 512, scratchMiB: 512 };
const offer = { free, total: free };

let instance: FakeInstance;
let client: JobClient;
let directory: string;
const lease = new AbortController();

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'fumehood-uplink-'));
  instance = new FakeInstance();
  await instance.start();
  instance.leased.set(5, plainJob);
  client = openJobClient(
    openHttp(instance.url),
    { ...plainJob, queue: 'runs' },
    'test',
    systemClock,
    lease.signal,
  );
});
afterEach(async () => {
  await instance.stop();
  await rm(directory, { recursive: true });
});

describe('the queue', () => {
  it('leases a job, resolves with null when there is none, and is refused with a wrong credential', async () => {
    instance.jobs.push(plainJob);
    const queue = openQueue(openHttp(instance.url), { ...identity, credential: fixed(instance.credential) });
    const { signal } = new AbortController();
    expect(await queue.lease(['runs'], offer, 0, signal)).toEqual(plainJob);
    expect(await queue.lease(['runs'], offer, 0, signal)).toBeNull();
    const stranger = openQueue(openHttp(instance.url), { ...identity, credential: fixed('other') });
    await expect(stranger.lease(['runs'], offer, 0, signal)).rejects.toMatchObject({
      code: 'instance_refused',
    });
  });

  it('names the cause when the instance is unreachable', async () => {
    await instance.stop();
    const queue = openQueue(openHttp(instance.url), { ...identity, credential: fixed(instance.credential) });
    instance = new FakeInstance();
    await instance.start();
    await expect(queue.lease(['runs'], offer, 0, new AbortController().signal)).rejects.toMatchObject({
      code: 'instance_unreachable',
      message: expect.stringContaining('ECONNREFUSED') as string,
    });
  });
});

describe('log entries', () => {
  it('arrive complete although requests fail now and then', async () => {
    let count = 0;
    instance.intercept = (request, response) => {
      if (!request.url?.includes('appendLog') || ++count % 2 === 0) return false;
      if (count % 4 === 1) response.writeHead(503).end();
      else response.destroy();
      return true;
    };
    const log = await openPhaseLog(client, systemClock, 'step.docker.0', ['echo']);
    const line = Buffer.from('0123456789abcdef'.repeat(1024));
    for (let i = 0; i < 40; i++) await log.write('stdout', line);
    await log.write('stderr', Buffer.from('oh'));
    await log.end(3);
    expect(instance.entries[0]).toMatchObject({ key: 'step.docker.0', exitCode: 3 });
    expect(instance.entries[0]?.stdout.equals(Buffer.concat(Array.from({ length: 40 }, () => line)))).toBe(
      true,
    );
    expect(instance.entries[0]?.stderr.toString()).toBe('oh');
  });

  it('are added once, even if the answer is lost', async () => {
    const asked: unknown[] = [];
    instance.intercept = (request, response, body) => {
      if (!request.url?.endsWith('/addExecutionLogEntry')) return false;
      asked.push(JSON.parse(body.toString()).fumehood);
      if (asked.length === 2) response.destroy();
      return asked.length === 2;
    };
    await openPhaseLog(client, systemClock, 'a', []);
    await openPhaseLog(client, systemClock, 'b', []);
    expect(asked).toEqual([{ entry: 1 }, { entry: 2 }, { entry: 2 }]);
    expect(instance.entries.map(({ key }) => key)).toEqual(['a', 'b']);
  });

  it('are requested again when the instance does not answer', async () => {
    const clock = fakeClock();
    const job = { ...plainJob, queue: 'runs' as const };
    const hasty = openJobClient(openHttp(instance.url), job, 'test', clock, lease.signal);
    let asked = 0;
    instance.intercept = () => {
      asked += 1;
      return asked === 1;
    };
    const begun = hasty.addEntry({ key: 'a', command: [], startTime: new Date(0).toISOString() });
    await expect.poll(() => asked).toBe(1);
    await clock.advance(59_000);
    expect(asked).toBe(1);
    await clock.advance(1_000);
    await expect.poll(() => clock.advance(100).then(() => asked)).toBe(2);
    expect(await begun).toBe(1);
  });

  it('reject with `lease_lost` when the fence refuses a write', async () => {
    const log = await openPhaseLog(client, systemClock, 'a', []);
    instance.intercept = (_request, response) => {
      response.writeHead(500).end('{"error":"unknown job"}');
      return true;
    };
    await log.write('stdout', Buffer.from('x'));
    await expect(log.end(0)).rejects.toMatchObject({ code: 'lease_lost' });
  });

  it('reject with `lease_lost` when the instance does not know the token any more', async () => {
    const log = await openPhaseLog(client, systemClock, 'a', []);
    instance.leased.clear();
    await log.write('stdout', Buffer.from('x'));
    await expect(log.end(0)).rejects.toMatchObject({ code: 'lease_lost' });
    await expect(client.complete()).rejects.toMatchObject({ code: 'lease_lost' });
  });
});

it('a value that the job wants hidden is in no output, no command and no message', async () => {
  const job = { ...plainJob, queue: 'runs' as const, redactedValues: { hunter2: '***', '***': 'x' } };
  const hiding = openJobClient(openHttp(instance.url), job, 'test', systemClock, lease.signal);
  const bodies: string[] = [];
  instance.intercept = (_request, _response, body) => {
    bodies.push(body.toString());
    return false;
  };
  const log = await openPhaseLog(hiding, systemClock, 'step.docker.0', ['login', '-p=hunter2']);
  for (const piece of ['user hun', 'ter', '2 in\n', 'hunt']) await log.write('stdout', Buffer.from(piece));
  await log.end(1);
  await hiding.failed('the step ended with: bad password hunter2', 'step_failed');
  expect(instance.entries[0]?.stdout.toString()).toBe('user *** in\nhunt');
  expect(instance.marks).toMatchObject([{ errorMessage: 'the step ended with: bad password ***' }]);
  expect(bodies.join('\n')).not.toContain('hunter2');
  expect(bodies[0]).toContain('-p=***');
});

describe('blobs', () => {
  const bytes = Buffer.from('an image archive'.repeat(10_000));
  const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
  const cache = openFileCache({ directories: [], maxBytes: 0, onTrouble() {} }).open();
  const fetchIt = (name = digest) => fetchBlob(client, name, directory, cache, systemClock, lease.signal);

  it('are fetched once, and requested with the token even if they are cached', async () => {
    instance.blobs.set(digest, bytes);
    const file = await fetchIt();
    expect((await readFile(file)).equals(bytes)).toBe(true);
    await fetchIt();
    const requests = instance.requests.filter((line) => line.includes('/blob/'));
    expect(requests.map((line) => line[0]).join('')).toBe('HGH');
    instance.leased.clear();
    await expect(fetchIt()).rejects.toMatchObject({ code: 'lease_lost' });
  });

  it('with other bytes than their digest says are refused and not kept', async () => {
    const other = `sha256:${'0'.repeat(64)}`;
    instance.blobs.set(other, bytes);
    await expect(fetchIt(other)).rejects.toMatchObject({ code: 'blob_damaged' });
    expect(await readdir(directory)).toEqual([]);
    await expect(fetchIt(`sha256:${'1'.repeat(64)}`)).rejects.toMatchObject({ code: 'image_not_found' });
  });
});

describe('stdin', () => {
  it('arrives as it is written, and ends', async () => {
    instance.input = Buffer.from('one ');
    instance.inputEnded = false;
    setTimeout(() => {
      instance.input = Buffer.from('one two');
      instance.inputEnded = true;
    }, 100);
    expect((await collect(openJobStdin(client, lease.signal), 100)).toString()).toBe('one two');
  });

  it('that is destroyed aborts the request that waits for more', async () => {
    instance.intercept = (request) => request.url?.includes('/input') ?? false;
    const input = openJobStdin(client, lease.signal);
    input.resume();
    input.destroy();
    await new Promise((resolve) => input.once('close', resolve));
  });
});
