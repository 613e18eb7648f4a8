import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeInstance } from '../testing/fake-instance.ts';
import { testJob } from '../testing/test-job.ts';
import { readCredential } from './credential.ts';
import { openHttp } from './http.ts';
import { openQueue } from './queue.ts';

const resources = { cpus: 1, memoryMiB: 512, scratchMiB: 512 };
let instance: FakeInstance;
let directory: string;
let file: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'fumehood-credential-'));
  file = join(directory, 'credential');
  instance = new FakeInstance();
  await instance.start();
});
afterEach(async () => {
  await instance.stop();
  await rm(directory, { recursive: true });
});

async function start() {
  const identity = {
    name: 'test',
    version: '0',
    tiers: [],
    arch: 'x64' as const,
    labels: [],
    network: false,
    machine: 'here',
  };
  const queue = openQueue(openHttp(instance.url), { ...identity, credential: await readCredential(file) });
  return {
    lease: () => queue.lease(['runs'], { free: resources, total: resources }, 0, AbortSignal.timeout(20_000)),
    heartbeat: () => queue.heartbeat(['runs'], [], AbortSignal.timeout(20_000)),
  };
}

describe('the credential in a file', () => {
  it('is read again when the instance refuses it, and the request is sent with the new one', async () => {
    await writeFile(file, 'before\n');
    const { lease } = await start();
    await expect(lease()).rejects.toMatchObject({ code: 'instance_refused', details: { status: 401 } });
    await writeFile(file, `${instance.credential}\n`);
    const job = testJob();
    instance.jobs.push(job);
    expect(await lease()).toEqual(job);
  });

  it('is used for every request that was refused with the old one, even if several are refused at once', async () => {
    await writeFile(file, 'before');
    const { lease, heartbeat } = await start();
    await writeFile(file, instance.credential);
    instance.intercept = (request, response) => {
      if (request.headers.authorization === `token-executor ${instance.credential}`) return false;
      setTimeout(() => response.writeHead(401).end(), 50);
      return true;
    };
    expect(await Promise.all([lease(), heartbeat(), lease()])).toEqual([
      null,
      expect.objectContaining({ knownIds: [], cancelIds: [] }),
      null,
    ]);
  });

  it('is read again when a heartbeat is refused, too', async () => {
    let accepted = 'one';
    instance.intercept = (request, response) => {
      if (request.headers.authorization === `token-executor ${accepted}`) return false;
      response.writeHead(401).end();
      return true;
    };
    await writeFile(file, 'one');
    const { heartbeat } = await start();
    expect(await heartbeat()).toEqual(expect.objectContaining({ knownIds: [], cancelIds: [] }));
    accepted = 'two';
    await writeFile(file, 'two');
    expect(await heartbeat()).toEqual(expect.objectContaining({ knownIds: [], cancelIds: [] }));
    expect(instance.requests).toHaveLength(3);
  });

  it('is not sent again when the file still holds the refused one', async () => {
    await writeFile(file, 'wrong');
    const { lease } = await start();
    await expect(lease()).rejects.toMatchObject({ code: 'instance_refused' });
    expect(instance.requests).toHaveLength(1);
  });

  it.each([
    ['empty', ''],
    ['of two lines', 'one\ntwo'],
    ['with a blank in it', 'one two'],
  ])('that is %s is refused with an error that names the file', async (_, text) => {
    await writeFile(file, text);
    await expect(start()).rejects.toMatchObject({
      code: 'credential_unreadable',
      message: expect.stringContaining(file) as string,
    });
  });

  it('that is missing after a refusal is an error that names the file, and is used once it is back', async () => {
    await writeFile(file, 'before');
    const { lease } = await start();
    await rm(file);
    await expect(lease()).rejects.toMatchObject({ code: 'credential_unreadable' });
    await writeFile(file, instance.credential);
    expect(await lease()).toBeNull();
  });
});
