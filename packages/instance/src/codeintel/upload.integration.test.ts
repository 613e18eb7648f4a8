import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import type { Job } from '@fumehood/protocol';
import { sql } from 'kysely';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { openTestServer, type TestServer } from '../db/testing.ts';
import { sendUpload } from '../testing/index-upload.ts';
import { startTestInstance, type TestInstance } from '../testing/instance.ts';
import { scipDocument, scipIndex } from '../testing/scip.ts';
import { readOccurrences } from './sql/parts.ts';

/** Recorded requests of the real client. `src-cli/src/testing` holds our own client to the same requests. */
interface Recorded {
  readonly bodies: Readonly<Record<string, string>>;
  readonly uploads: readonly Upload[];
}
interface Upload {
  readonly name: string;
  readonly query: string;
  readonly contentType: string;
  readonly uncompressedSize?: string;
  readonly body: string;
}
const recorded = JSON.parse(
  readFileSync(join(import.meta.dirname, 'testing/recorded.json'), 'utf8'),
) as Recorded;
const recordedBody = (name: string) => Buffer.from(recorded.bodies[name] ?? '', 'base64');

let server: TestServer;
let instance: TestInstance;
beforeAll(async () => {
  server = openTestServer();
  instance = await startTestInstance(await server.clone());
});
afterAll(async () => {
  await instance.stop();
  await server.stop();
});
afterEach(async () => {
  for (const table of ['uploads', 'documents', 'jobs'])
    await sql`delete from ${sql.table(table)}`.execute(instance.db);
});

async function leaseIndexing(repository: string, commit: string): Promise<Job> {
  const indexer = { name: 'scip-typescript', image: await instance.image(), argv: ['index'] };
  const job = { queue: 'codeintel', repository, commit, indexer, accept: ['vm-emulated'] };
  expect((await instance.api('POST', '/api/jobs', job)).status).toBe(201);
  return (await instance.lease({ queues: ['codeintel'] })) as Job;
}

/** Sends an index as the client does. */
const send = (job: Job, route: string, query: URLSearchParams, body: Buffer, size?: string) =>
  sendUpload(`${instance.url}/.executors/${route}/upload?${query.toString()}`, {
    ...{ authorization: `token-executor ${job.token}`, body, size },
  });

/** Returns a recorded query, changed to name this job. */
function queryFor(upload: Upload, job: Job): URLSearchParams {
  const query = new URLSearchParams(upload.query);
  if (query.has('associatedIndexId')) query.set('associatedIndexId', String(job.id));
  return query;
}

describe('the upload route accepts what the real client sends', () => {
  test.each(recorded.uploads.flatMap((upload) => ['lsif', 'scip'].map((route) => ({ ...upload, route }))))(
    '$name, to $route',
    async ({ route, ...upload }) => {
      const query = new URLSearchParams(upload.query);
      const job = await leaseIndexing(query.get('repository') as string, query.get('commit') as string);
      const body = recordedBody(upload.body);
      const answer = await send(job, route, queryFor(upload, job), body, upload.uncompressedSize);
      expect(answer.status, answer.text).toBe(202);
      const { id } = JSON.parse(answer.text) as { id: string };
      expect(id).toMatch(/^[1-9]\d*$/);
      const record = (await (await instance.api('GET', `/api/uploads/${id}`)).json()) as object;
      expect(record).toMatchObject({
        repository: query.get('repository'),
        commit: query.get('commit'),
        root: query.get('root') ?? '',
        indexer: query.get('indexerName') ?? '',
        indexerVersion: query.get('indexerVersion') ?? '',
      });
      const { uploadId } = (await (await instance.api('GET', `/api/jobs/${job.id}`)).json()) as {
        uploadId: number;
      };
      expect(String(uploadId)).toBe(id);
    },
  );

  test('again, and the later upload replaces the earlier one', async () => {
    const [upload] = recorded.uploads as [Upload];
    const query = new URLSearchParams(upload.query);
    const job = await leaseIndexing(query.get('repository') as string, query.get('commit') as string);
    const once = () =>
      send(job, 'scip', queryFor(upload, job), recordedBody(upload.body), upload.uncompressedSize);
    const [first, second] = [await once(), await once()];
    expect([first.status, second.status]).toEqual([202, 202]);
    const { rows } = await sql<{ id: number }>`select id from uploads`.execute(instance.db);
    expect(rows.map(({ id }) => String(id))).toEqual([(JSON.parse(second.text) as { id: string }).id]);
  });
});

describe('the upload route refuses and does not store', () => {
  const [upload] = recorded.uploads as [Upload];
  const plain = gunzipSync(recordedBody(upload.body));
  const refused: [what: string, query: Record<string, string>, body: Buffer, size: string | undefined][] = [
    ['another commit', { commit: 'f'.repeat(40) }, recordedBody(upload.body), undefined],
    ['a commit by a name', { commit: 'HEAD' }, recordedBody(upload.body), undefined],
    ['another repository', { repository: 'github.com/acme/other' }, recordedBody(upload.body), undefined],
    ["another job's number", { associatedIndexId: '4711' }, recordedBody(upload.body), undefined],
    ['a root outside of the repository', { root: '../x' }, recordedBody(upload.body), undefined],
    ['too many parts', { multiPart: 'true', numParts: '100000' }, Buffer.alloc(0), undefined],
    ['a part of an upload that nobody began', { uploadId: '1', index: '0' }, Buffer.from('x'), undefined],
    ['a body that is not gzip', {}, plain, undefined],
    ['truncated gzip', {}, recordedBody(upload.body).subarray(0, -20), undefined],
    ['a body that is not an index', {}, gzipSync(Buffer.from('{"id":1,"type":"vertex"}')), undefined],
    ['a truncated index', {}, gzipSync(plain.subarray(0, -3)), undefined],
    ['an empty body', {}, gzipSync(Buffer.alloc(0)), undefined],
    ['another size than announced', {}, recordedBody(upload.body), '17'],
    ['a size that is not a number', {}, recordedBody(upload.body), '-1'],
    ['a size beyond the limit', {}, recordedBody(upload.body), String(2 ** 40)],
  ];
  test.each(refused)('%s', async (_, changes, body, size) => {
    const query = new URLSearchParams(upload.query);
    const job = await leaseIndexing(query.get('repository') as string, query.get('commit') as string);
    const asked = queryFor(upload, job);
    for (const [name, value] of Object.entries(changes)) asked.set(name, value);
    const answer = await send(job, 'scip', asked, body, size);
    expect(answer.status, answer.text).toBeGreaterThanOrEqual(400);
    expect(answer.status, answer.text).toBeLessThan(500);
    const { rows } = await sql`select 1 from uploads union all select 1 from index_documents`.execute(
      instance.db,
    );
    expect(rows).toEqual([]);
  });
});

test('an index is counted, and finds where a name is defined', async () => {
  const [upload] = recorded.uploads as [Upload];
  const query = new URLSearchParams(upload.query);
  const job = await leaseIndexing(query.get('repository') as string, query.get('commit') as string);
  const body = recordedBody(upload.body);
  const { text } = await send(job, 'scip', queryFor(upload, job), body, upload.uncompressedSize);
  const { id } = JSON.parse(text) as { id: string };
  const get = async (path: string) => (await instance.api('GET', `/api/uploads/${id}${path}`)).json();
  const record = (await get('')) as { documents: number; occurrences: number };
  expect(record.documents).toBeGreaterThan(0);
  const { query: at, definition } = (await get('/example')) as Record<
    'query' | 'definition',
    { path: string; line: number; character: number; symbol: string }
  >;
  const place = new URLSearchParams({
    path: at.path,
    line: String(at.line),
    character: String(at.character),
  });
  expect(await get(`/definition?${place.toString()}`)).toEqual({ definitions: [definition] });
  expect((await instance.api('GET', `/api/uploads/${Number(id) + 1}`)).status).toBe(404);
});

describe('names that PostgreSQL does not hold', () => {
  test('are left out, and everything else is stored', async () => {
    const [upload] = recorded.uploads as [Upload];
    const query = new URLSearchParams(upload.query);
    const job = await leaseIndexing(query.get('repository') as string, query.get('commit') as string);
    const root = query.get('root') ?? '';
    // A TypeScript key that is written "\u0000" has six characters, and no NUL.
    const symbols = [
      'a b c d `"\\u0000"`.',
      'a b c d `\0`.',
      'a b c d \u2028.',
      'a b c d plain.',
      'local \0',
    ];
    const index = scipIndex([
      scipDocument('file.ts', symbols),
      scipDocument('nul\0.ts', ['a b c d e.']),
      scipDocument(randomBytes(4_000).toString('hex'), ['a b c d f.']),
      scipDocument('../..'.repeat(9), ['a b c d g.']),
    ]);
    const answer = await send(job, 'scip', queryFor(upload, job), gzipSync(index));
    expect(answer.status, answer.text).toBe(202);
    const path = root === '' ? 'file.ts' : `${root}/file.ts`;
    const { rows } = await sql`select ranges from document_symbols order by ranges`.execute(instance.db);
    expect(rows).toEqual([0, 0, 0, 0, 2, 3].map((line) => ({ ranges: [line, 0, line, 5] })));
    expect((await sql`select path from index_documents`.execute(instance.db)).rows).toEqual([{ path }]);
    const { id } = JSON.parse(answer.text) as { id: string };
    expect(await readOccurrences(instance.db, Number(id), path)).toEqual(
      [0, 2, 3].map((line) => [line, 0, line, 5, symbols[line], 1]),
    );
  });
});
