import { type Job, jobSchema } from '@fumehood/protocol';
import { expect, test } from 'vitest';
import { fakeClock } from '../testing/fake-clock.ts';
import { testJob } from '../testing/test-job.ts';
import type { Http } from '../uplink/http.ts';
import { openJobClient } from '../uplink/job-client.ts';
import { collectJobFiles } from './job-files.ts';
import { checkFilePaths } from './workspace-file.ts';

const { signal } = new AbortController();
const mebibyte = Buffer.alloc(2 ** 20);

/** Collects the files of a job from an instance with this answer. Resolves with them and with the requests. */
async function collected(
  files: Job['files'],
  answer = () => new Response('from the instance'),
  secrets: string[] = [],
) {
  const asked: string[] = [];
  const http: Http = ({ method, path, headers }) => {
    asked.push(`${method} ${path} ${headers.authorization}`);
    return Promise.resolve(answer());
  };
  const job = { ...testJob({ token: 'T' }), queue: 'batches' as const };
  const clock = fakeClock();
  const client = openJobClient(http, job, 'test', clock, signal);
  return { files: await collectJobFiles(client, files, secrets, clock, signal), asked };
}
const inline = (content: string | Buffer, modifiedAt = '0001-01-01T00:00:00Z') => ({
  ...{ content: Buffer.from(content), bucket: '', key: '', modifiedAt },
});
const named = (key: string) => ({
  content: null,
  bucket: 'batch-changes',
  key,
  modifiedAt: inline('').modifiedAt,
});

test('the files of both payload versions have their bytes and times', async () => {
  const wire = {
    ...{ id: 1, token: 'T', repositoryName: '', repositoryDirectory: '', commit: '' },
    ...{ fetchTags: false, shallowClone: true, sparseCheckout: null, cliSteps: null, redactedValues: null },
    dockerSteps: [],
  };
  const modifiedAt = '2024-02-03T04:05:06Z';
  const one = jobSchema.parse({ ...wire, files: { 'b/ü': { content: 'aGk=', modifiedAt }, a: 'plain' } });
  const two = jobSchema.parse({ ...wire, version: 2, files: { a: { content: 'aGk=', modifiedAt } } });
  const shown = async ({ files }: Job) =>
    (await collected(files)).files.map(({ path, content, mtime }) => [
      path,
      Buffer.from(content).toString(),
      mtime,
    ]);
  const time = Date.parse(modifiedAt) / 1000;
  const ü = Buffer.from('ü').toString('latin1');
  expect(await shown(one)).toEqual([
    ['a', 'plain', 1_000_000_000],
    [`b/${ü}`, 'aGk=', time],
  ]);
  expect(await shown(two)).toEqual([['a', 'hi', time]]);
});

test("a file that the job only names is fetched from the files route under the job's token", async () => {
  const { files, asked } = await collected({ x: named('c3BlYw/ZmlsZQ') });
  expect(asked).toEqual(['GET /.executors/files/batch-changes/c3BlYw/ZmlsZQ Bearer T']);
  expect(Buffer.from(files[0]?.content ?? []).toString()).toBe('from the instance');
});

test('a status other than 200 is an error, and for 404 it is `file_missing`', async () => {
  const status = (code: number) => () => new Response('no', { status: code });
  await expect(collected({ x: named('a/b') }, status(404))).rejects.toMatchObject({ code: 'file_missing' });
  await expect(collected({ x: named('a/b') }, status(403))).rejects.toMatchObject({
    code: 'instance_refused',
    details: { status: 403 },
  });
});

test.each(['../../queue/dequeue', 'a//b', '', '.', 'a/..'])(
  'the key %j does not lead to another route',
  async (key) => {
    await expect(collected({ x: named(key) })).rejects.toMatchObject({ code: 'file_missing' });
  },
);

test.each(['../x', '/etc/passwd', '', 'a/../../b', 'a//b', './a', 'a\0b'])(
  'the path %j is refused',
  async (path) => {
    await expect(collected({ [path]: inline('x') })).rejects.toMatchObject({ code: 'job_refused' });
  },
);

test('a file that contains a credential is refused, also one that the job only names', async () => {
  const answer = () => new Response('a hunter2 in it');
  const refused = expect.stringContaining('holds a credential') as string;
  for (const files of [{ x: named('a/b') }, { x: inline('a hunter2 in it') }, { hunter2: inline('') }]) {
    await expect(collected(files, answer, ['hunter2'])).rejects.toMatchObject({ message: refused });
    expect((await collected(files, answer, ['hunter3'])).files).toHaveLength(1);
  }
});

test('the number and the size of files are limited, also while the instance sends them', async () => {
  const large = Object.fromEntries(Array.from({ length: 65 }, (_, at) => [`f${at}`, inline(mebibyte)]));
  await expect(collected(large)).rejects.toThrow('more than 67108864 bytes');
  const many = Object.fromEntries(Array.from({ length: 10_001 }, (_, at) => [`f${at}`, inline('')]));
  await expect(collected(many)).rejects.toThrow('10000');
  const endless = () =>
    new Response(
      new ReadableStream({
        pull(controller) {
          controller.enqueue(mebibyte);
        },
      }),
    );
  await expect(collected({ x: named('a/b') }, endless)).rejects.toMatchObject({ code: 'too_big' });
});

test('a file that conflicts with a path of the commit is refused', () => {
  const file = (path: string) => ({ path, content: mebibyte, mtime: 0 });
  const tree = [{ path: 'dir/file' }, { path: 'link' }];
  expect(() => checkFilePaths([file('dir/other'), file('x')], tree, '')).not.toThrow();
  expect(() => checkFilePaths([file('dir'), file('link')], tree, 'repository')).not.toThrow();
  for (const path of ['dir', 'dir/file', 'dir/file/x', 'link/x', '.git/config', '.GIT/config'])
    expect(() => checkFilePaths([file(path)], tree, '')).toThrow('of its files');
  expect(() => checkFilePaths([file('a')], [], 'a/b')).toThrow('the directory of the repository');
});
