import { readdir, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { systemClock } from '@fumehood/base';
import { artifactsSchema, type Job } from '@fumehood/protocol';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { openTestServer, type TestServer } from '../db/testing.ts';
import { retentionSchema } from '../retention/policy.ts';
import { removeOld } from '../retention/retain.ts';
import { noMirrors } from '../testing/no-mirrors.ts';
import { everyCommit, startTestInstance, type TestInstance } from '../testing/instance.ts';

let server: TestServer;
let instance: TestInstance;

beforeAll(async () => {
  server = openTestServer();
});
afterAll(() => server.stop());
beforeEach(async () => {
  instance = await startTestInstance(await server.clone());
  return () => instance.stop();
});

async function leased(): Promise<Job> {
  await instance.run({ artifacts: ['./out/', 'report.xml'] });
  return (await instance.lease()) as Job;
}
const send = (job: Job, path: string, bytes: string) => instance.executor().job(job).artifact(path, bytes);
const listed = async (id: number) => {
  const answer = await instance.api('GET', `/api/jobs/${id}/artifacts`);
  return artifactsSchema.parse(await answer.json()).artifacts.map(({ path, bytes }) => [path, bytes]);
};

test('what a job brings back has its path, and is sent as it came', async () => {
  const job = await leased();
  expect(job.fumehood?.artifacts).toEqual(['out', 'report.xml']);
  expect(await listed(job.id)).toEqual([]);
  for (const bytes of ['an older archive', 'bytes']) expect((await send(job, 'out', bytes)).status).toBe(204);
  expect(await listed(job.id)).toEqual([['out', 5]]);
  const answer = await instance.api('GET', `/api/jobs/${job.id}/artifacts/out`);
  expect(answer.headers.get('content-type')).toBe('application/x-tar');
  expect(await answer.text()).toBe('bytes');
  expect((await instance.api('GET', `/api/jobs/${job.id}/artifacts/report.xml`)).status).toBe(404);
});

test('only what its own job names is taken, under the token of its own lease', async () => {
  const job = await leased();
  const other = await leased();
  for (const path of ['other', '../out', '/out', ''])
    expect((await send(job, path, 'bytes')).status, path).toBeOneOf([400, 403]);
  expect((await send({ ...job, token: other.token }, 'out', 'bytes')).status).toBeOneOf([401, 403]);
  await sql`update jobs set lease_expires_at = clock_timestamp() where id = ${job.id}`.execute(instance.db);
  expect((await send(job, 'out', 'bytes')).status).toBe(401);
  expect([await listed(job.id), await listed(other.id)]).toEqual([[], []]);
});

test('the artifacts of an attempt have a limit of bytes together', async () => {
  const job = await leased();
  expect((await send(job, 'out', 'bytes')).status).toBe(204);
  await sql`update job_artifacts set bytes = ${2 ** 30} where job_id = ${job.id}`.execute(instance.db);
  const refused = await send(job, 'report.xml', 'bytes');
  expect(refused.status).toBe(413);
  expect(await listed(job.id)).toEqual([['out', 2 ** 30]]);
});

test('an artifact stays as long as its job, whatever is kept of images, and counts as a part of the job', async () => {
  const job = await leased();
  await send(job, 'out', 'bytes of an archive');
  await instance.executor().job(job).complete();
  const blobs = join(instance.directory, 'blobs/sha256');
  const age = async () => {
    const then = new Date(Date.now() - 40 * 86_400_000);
    for (const name of await readdir(blobs)) await utimes(join(blobs, name), then, then);
  };
  const round = async (policy: object) => {
    await age();
    return await removeOld(
      {
        db: instance.db,
        commits: await everyCommit('', () => Promise.reject(new Error('no program runs here')), ''),
        clock: systemClock,
        ...noMirrors,
      },
      {
        retention: retentionSchema.parse(policy),
        directories: {
          blobs: join(instance.directory, 'blobs'),
          repositories: join(instance.directory, 'repositories'),
        },
        replica: '0'.repeat(16),
      },
    );
  };
  expect(await round({ images: { days: 1 } })).toMatchObject({ jobs: 0, images: 1 });
  expect(await (await instance.api('GET', `/api/jobs/${job.id}/artifacts/out`)).text()).toBe(
    'bytes of an archive',
  );
  await sql`update job_artifacts set bytes = ${2 ** 30}`.execute(instance.db);
  expect(await round({ jobs: { maxMiB: 10 } })).toMatchObject({ jobs: 1, images: 1 });
  expect(await readdir(blobs)).toEqual([]);
});
