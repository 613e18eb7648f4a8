import type { Job } from '@fumehood/protocol';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { openTestServer, type TestServer } from '../../db/testing.ts';
import { startTestInstance, type TestInstance } from '../../testing/instance.ts';

/** The output of a job as plain text. */
let server: TestServer;
let instance: TestInstance;
let job: Job;

beforeAll(async () => {
  server = openTestServer();
});
afterAll(() => server.stop());
beforeEach(async () => {
  instance = await startTestInstance(await server.clone());
  await instance.run();
  job = (await instance.lease()) as Job;
  for (const key of ['setup.vm', 'step.docker.0', 'step.docker.1']) await on().addEntry({ ...entry, key });
  return () => instance.stop();
});

const on = () => instance.executor().job(job);
const entry = { command: [], startTime: '2026-01-02T03:04:05Z' };
const logs = (query = '') => instance.api('GET', `/api/jobs/${job.id}/logs${query}`);

test('has both streams of the steps in the order of their arrival, without what the executor did', async () => {
  await on().append(1, 'stdout', 0, 'booting\n');
  await on().append(2, 'stdout', 0, 'one\n');
  await on().append(2, 'stderr', 0, 'two\n');
  await on().append(3, 'stdout', 0, 'three <b>\0\n');
  const answer = await logs();
  expect(answer.headers.get('content-type')).toBe('text/plain; charset=utf-8');
  expect(answer.headers.get('x-content-type-options')).toBe('nosniff');
  expect(await answer.text()).toBe('one\ntwo\nthree <b>\0\n');
});

test.each(['?follow', '?follow=true'])('goes on with %s until the job has ended', async (query) => {
  await on().append(2, 'stdout', 0, 'one\n');
  const reader = (await logs(query)).body?.getReader();
  const next = async () => {
    const { done, value } = (await reader?.read()) ?? {};
    return done ? null : Buffer.from(value ?? []).toString();
  };
  expect(await next()).toBe('one\n');
  await on().append(2, 'stdout', 4, 'two\n');
  expect(await next()).toBe('two\n');
  await on().complete();
  expect(await next()).toBeNull();
});

test('is 404 for an unknown job, and 400 for another value of `follow`', async () => {
  expect((await instance.api('GET', '/api/jobs/4711/logs')).status).toBe(404);
  expect((await logs('?follow=perhaps')).status).toBe(400);
});
