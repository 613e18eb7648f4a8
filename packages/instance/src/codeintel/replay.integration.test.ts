import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { Job } from '@fumehood/protocol';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openTestServer, type TestServer } from '../db/testing.ts';
import { sendUpload } from '../testing/index-upload.ts';
import { extendLease, startTestInstance, type TestInstance } from '../testing/instance.ts';
import { scipDocument, scipIndex } from '../testing/scip.ts';

/**
 * Every request that upstream's client was recorded to upload with, also those that a fake server answered with failures, in the order in which
 * they came. Recorded were parts of 25 MB; the slices of a smaller index take their place.
 */
interface Trial {
  readonly name: string;
  readonly requests: readonly {
    readonly method: string;
    readonly url: string;
    /** Whose secret it carries: `person`, `job`, `nobody`, or the header itself. */
    readonly by: string;
    /** The size that it announces; `parts`: that of the smaller index. */
    readonly size?: string;
    readonly body?: string;
    /** What an instance answers that does not fail. */
    readonly status: number;
  }[];
}
const read = (name: string): unknown =>
  JSON.parse(readFileSync(join(import.meta.dirname, 'testing', name), 'utf8'));
const trials = read('replay.json') as readonly Trial[];
const { bodies } = read('recorded.json') as { readonly bodies: Readonly<Record<string, string>> };
const documents = Array.from({ length: 9 }, (_, n) =>
  scipDocument(`f${n}`, [randomBytes(5_000).toString('hex')]),
);
const plain = scipIndex(documents);
const packed = gzipSync(plain);
const third = Math.ceil(packed.length / 3);

let server: TestServer;
let instance: TestInstance;
let jobs: readonly Job[];
beforeAll(async () => {
  server = openTestServer();
  instance = await startTestInstance(await server.clone());
  const indexer = { name: 'scip-typescript', image: await instance.image(), argv: ['index'] };
  const leased = async (commit: string) => {
    const place = { queue: 'codeintel', repository: 'github.com/acme/greeter', commit };
    expect(
      (await instance.api('POST', '/api/jobs', { ...place, indexer, accept: ['vm-emulated'] })).status,
    ).toBe(201);
    const job = (await instance.lease({ queues: ['codeintel'] })) as Job;
    await extendLease(instance, job);
    return job;
  };
  jobs = [
    await leased('0123456789abcdef0123456789abcdef01234567'),
    await leased('2ba1c448f4de0669d8823ec94b8b3d649a5919e3'),
  ];
});
afterAll(async () => {
  await instance.stop();
  await server.stop();
});

function bodyOf(name = ''): Buffer {
  const [, part] = /^part (\d)$/.exec(name) ?? [];
  if (part !== undefined) return packed.subarray(Number(part) * third, (Number(part) + 1) * third);
  return name === 'parts' ? packed : Buffer.from(bodies[name] ?? '', 'base64');
}

test.each(trials)('$name', async ({ requests }) => {
  let number: string | undefined;
  for (const { method, url, by, size, body, status } of requests) {
    const asked = new URL(url, instance.url);
    const job = jobs.find(({ commit }) => commit === asked.searchParams.get('commit'));
    if (asked.searchParams.has('associatedIndexId'))
      asked.searchParams.set('associatedIndexId', String(job?.id));
    if (asked.searchParams.has('uploadId')) asked.searchParams.set('uploadId', number ?? '');
    const secrets: Record<string, string | undefined> = {
      person: `token ${instance.accessToken}`,
      job: `token-executor ${job?.token}`,
      nobody: undefined,
    };
    const answer = await sendUpload(asked.href, {
      ...{ method, authorization: by in secrets ? secrets[by] : by, body: bodyOf(body) },
      size: size === 'parts' ? String(plain.length) : size,
    });
    expect(answer.status, answer.text).toBe(status);
    if (status === 204) expect(answer.text).toBe('');
    if (status === 202) {
      ({ id: number } = JSON.parse(answer.text) as { id: string });
      expect(answer.text).toMatch(/^\{"id":"[1-9]\d*"\}$/);
    }
    const isWhole = status === 202 && !asked.searchParams.has('multiPart');
    const isDone = status === 204 && asked.searchParams.has('done');
    const stored = await instance.api('GET', `/api/uploads/${number ?? 1}`);
    if (isWhole || isDone)
      expect(await stored.json()).toMatchObject({
        repository: asked.searchParams.get('repository'),
        root: asked.searchParams.get('root') ?? '',
        indexer: asked.searchParams.get('indexerName') ?? '',
        ...(isDone && { documents: documents.length }),
      });
  }
});
