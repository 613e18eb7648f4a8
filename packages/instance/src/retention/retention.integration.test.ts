import { createHash } from 'node:crypto';
import { mkdir, readdir, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Job, jobPageSchema } from '@fumehood/protocol';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { systemClock } from '@fumehood/base';
import { openTestServer, type TestServer } from '../db/testing.ts';
import { everyCommit, startTestInstance, type TestInstance } from '../testing/instance.ts';
import { noMirrors } from '../testing/no-mirrors.ts';
import { retentionSchema } from './policy.ts';
import { removeOld } from './retain.ts';

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

const directories = () => ({
  blobs: join(instance.directory, 'blobs'),
  repositories: join(instance.directory, 'repositories'),
});
/** Does one round with this policy. */
async function round(policy: object) {
  const commits = await everyCommit('', () => Promise.reject(new Error('no program runs here')), '');
  return await removeOld(
    { db: instance.db, commits, clock: systemClock, ...noMirrors },
    { retention: retentionSchema.parse(policy), directories: directories(), replica: '0'.repeat(16) },
  );
}
async function ended(output = ''): Promise<Job> {
  await instance.run();
  const job = (await instance.lease()) as Job;
  const routes = instance.executor().job(job);
  await routes.addEntry({ key: 'step.docker.0', command: [], startTime: '2026-01-02T03:04:05Z' });
  await routes.append(1, 'stdout', 0, output);
  expect((await routes.complete()).status).toBe(204);
  return job;
}
const listed = async () => {
  const page = jobPageSchema.parse(await (await instance.api('GET', '/api/jobs')).json());
  return page.jobs.map(({ id }) => id);
};
const images = async () => (await readdir(join(directories().blobs, 'sha256'))).length;
const daysAgo = (days: number) => new Date(Date.now() - days * 86_400_000);

test('jobs that ended too long ago are removed, with everything of them; others stay', async () => {
  const old = await ended('old output');
  const fresh = await ended();
  const waiting = await instance.run();
  await sql`update jobs set finished_at = ${daysAgo(8)} where id = ${old.id}`.execute(instance.db);
  expect(await round({ jobs: { days: 7 } })).toMatchObject({ jobs: 1 });
  expect(await listed()).toEqual([waiting.id, fresh.id]);
  const { rows } = await sql`
    select (select count(*) from job_events where job_id = ${old.id}) as events,
      (select count(*) from attempts where job_id = ${old.id}) as attempts,
      (select count(*) from log_entries where job_id = ${old.id}) as entries
  `.execute(instance.db);
  expect(rows).toEqual([{ events: 0, attempts: 0, entries: 0 }]);
  expect(await round({ jobs: { days: 7 } })).toMatchObject({ jobs: 0 });
});

test('the oldest ended jobs are removed when all together have too many bytes', async () => {
  const ids: number[] = [];
  for (let n = 0; n < 4; n += 1) ids.push((await ended('x'.repeat(600_000))).id);
  const waiting = await instance.run();
  expect(await round({ jobs: { maxMiB: 10 } })).toMatchObject({ jobs: 0 });
  expect(await round({ jobs: { maxMiB: 1 } })).toMatchObject({ jobs: 3 });
  expect(await listed()).toEqual([waiting.id, ids[3]]);
});

test('images that are not used are removed, but none that a job needs, and none that was just used', async () => {
  const fileOf = (digest: string) => join(directories().blobs, 'sha256', digest.slice('sha256:'.length));
  const age = async (digest: string) => utimes(fileOf(digest), daysAgo(40), daysAgo(40));
  await instance.run(); // needs the default image
  const needed = await instance.image();
  const unused = await instance.image('unused');
  await instance.image('fresh');
  for (const digest of [needed, unused]) await age(digest);
  expect(await round({})).toMatchObject({ images: 1 });
  expect(await images()).toBe(2);
  await expect(stat(fileOf(unused))).rejects.toMatchObject({ code: 'ENOENT' });
  // Asking for an image is a use of it: the job that follows finds it.
  await age(needed);
  await sql`update jobs set state = 'canceled', finished_at = now()`.execute(instance.db);
  expect((await instance.api('HEAD', `/api/blobs/${needed}`)).status).toBe(200);
  expect(await round({})).toMatchObject({ images: 0 });
});

test('the images that were not used for the longest time are removed when all together have too many bytes', async () => {
  for (const [days, content] of [
    [3, 'a'],
    [2, 'b'],
    [1, 'c'],
  ] as const) {
    const digest = await instance.image(content.repeat(600_000));
    const file = join(directories().blobs, 'sha256', digest.slice('sha256:'.length));
    await utimes(file, daysAgo(days), daysAgo(days));
  }
  expect(await round({ images: { maxMiB: 1 } })).toMatchObject({ images: 2 });
  expect(await images()).toBe(1);
});

test('commits that are not used are removed', async () => {
  const repository = join(directories().repositories, createHash('sha256').update('acme').digest('hex'));
  for (const [name, days] of [
    ['a.git', 31],
    ['b.git', 29],
  ] as const) {
    await mkdir(join(repository, name), { recursive: true });
    await writeFile(join(repository, name, 'config'), '');
    await utimes(join(repository, name), daysAgo(days), daysAgo(days));
  }
  await mkdir(join(directories().repositories, 'staging', '0'.repeat(16)), { recursive: true });
  expect(await round({})).toMatchObject({ commits: 1 });
  expect(await readdir(repository)).toEqual(['b.git']);
});

test('an index outlives the job that made it, and is removed when it is old itself', async () => {
  const { id } = await ended();
  await sql`
    insert into uploads (repository, commit, root, indexer, indexer_version, job_id) values ('a', 'b', '', 'c', '', ${id}), ('a', 'c', '', 'c', '', ${id})
  `.execute(instance.db);
  await sql`update jobs set finished_at = ${daysAgo(8)}`.execute(instance.db);
  expect(await round({ jobs: { days: 7 } })).toMatchObject({ jobs: 1, indexes: 0 });
  expect((await instance.api('GET', '/api/uploads/1')).status).toBe(200);
  await sql`update uploads set uploaded_at = ${daysAgo(31)}`.execute(instance.db);
  // The newest one stays.
  expect(await round({})).toMatchObject({ indexes: 1 });
  expect(await round({})).toMatchObject({ indexes: 0 });
  expect((await instance.api('GET', '/api/uploads/2')).status).toBe(200);
  expect((await instance.api('GET', '/api/uploads/1')).status).toBe(404);
});

test('a job that has ended can be deleted; one that has not is refused', async () => {
  const { id } = await ended();
  const waiting = await instance.run();
  expect((await instance.api('DELETE', `/api/jobs/${waiting.id}`)).status).toBe(409);
  expect((await instance.api('DELETE', `/api/jobs/${id}`)).status).toBe(204);
  expect((await instance.api('DELETE', `/api/jobs/${id}`)).status).toBe(404);
  expect(await listed()).toEqual([waiting.id]);
});
