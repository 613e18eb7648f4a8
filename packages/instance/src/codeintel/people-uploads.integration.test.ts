import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { cp, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { createTokenSchema, type Job, madeTokenSchema, type Scope } from '@fumehood/protocol';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { openTestServer, type TestServer } from '../db/testing.ts';
import { removeOldPartialUploads } from './partial.ts';
import { sendUpload } from '../testing/index-upload.ts';
import { startTestInstance, type TestInstance } from '../testing/instance.ts';
import { scipDocument, scipIndex } from '../testing/scip.ts';

/** Recorded requests of upstream's client. */
const recorded = JSON.parse(readFileSync(join(import.meta.dirname, 'testing/recorded.json'), 'utf8')) as {
  readonly bodies: Readonly<Record<string, string>>;
  readonly uploads: readonly {
    readonly name: string;
    readonly query: string;
    readonly body: string;
    readonly uncompressedSize?: string;
  }[];
};

const known = 'github.com/acme/greeter';
/** Its workspace is there for the job that indexes it. */
const ofPackage = 'pkg:npm/left-pad@1.3.0';
const commit = '2ba1c448f4de0669d8823ec94b8b3d649a5919e3';
const scip = 'application/x-protobuf+scip';

let server: TestServer;
let instance: TestInstance;
let ann: string;
let bob: string;
beforeAll(async () => {
  server = openTestServer();
  instance = await startTestInstance(await server.clone(), {
    openCommits: async () => ({
      find: (repository) => (repository === known || repository === ofPackage ? '/nonexistent' : null),
      add: async () => false,
    }),
  });
  ann = await tokenOf('ann', ['code:read', 'code:write', 'jobs:read', 'jobs:write']);
  bob = await tokenOf('bob', ['code:read', 'code:write']);
});
afterAll(async () => {
  await instance.stop();
  await server.stop();
});
beforeEach(() => sql`truncate uploads cascade`.execute(instance.db));

async function tokenOf(user: string, scopes: Scope[], name = 'upload'): Promise<string> {
  await instance.api('POST', '/api/access/users', { name: user });
  const body = createTokenSchema.parse({ name, user, scopes });
  return madeTokenSchema.parse(await (await instance.api('POST', '/api/access/tokens', body)).json()).secret;
}

interface Sent {
  readonly token?: string | null;
  readonly route?: string;
  readonly body?: Buffer;
  readonly headers?: Readonly<Record<string, string>>;
}
/** Sends a request of an upload, as upstream's client does. */
async function send(query: object, { token = ann, route = '/.api/scip/upload', body, headers }: Sent = {}) {
  const all = { repository: known, commit, indexerName: 'scip', ...query };
  const answer = await fetch(`${instance.url}${route}?${new URLSearchParams(all).toString()}`, {
    method: 'POST',
    headers: {
      ...(token !== null && { authorization: `token ${token}` }),
      'content-type': scip,
      ...headers,
    },
    ...(body && { body }),
  });
  return { status: answer.status, text: await answer.text() };
}
const indexOf = (symbol: string) => gzipSync(scipIndex([scipDocument('a.ts', [`s m p 1 ${symbol}.`])]));
const idOf = ({ status, text }: { status: number; text: string }) => {
  expect(status, text).toBe(202);
  return (JSON.parse(text) as { id: string }).id;
};
/** What the instance answers for the only place of the test's indexes: the symbol there. */
async function answered(): Promise<string | undefined> {
  const place = new URLSearchParams({ repository: known, revision: commit, path: 'a.ts' });
  const answer = await instance.api('GET', `/api/code/symbols?${place.toString()}`);
  return ((await answer.json()) as { symbols?: { name: string }[] }).symbols?.[0]?.name;
}

describe('an index that a person uploads', () => {
  test.each(recorded.uploads.map((upload) => [upload.name, upload] as const))(
    'is stored as upstream’s client sends it: %s',
    async (_, { query, body, uncompressedSize }) => {
      const asked = Object.fromEntries(new URLSearchParams(query));
      delete asked.associatedIndexId; // it names a job of the recording
      asked.indexerName ??= '';
      const id = idOf(
        await send(asked, {
          body: Buffer.from(recorded.bodies[body] ?? '', 'base64'),
          ...(uncompressedSize !== undefined && { headers: { 'x-uncompressed-size': uncompressedSize } }),
        }),
      );
      const record = await (await instance.api('GET', `/api/uploads/${id}`)).json();
      expect(record).toMatchObject({
        repository: known,
        root: asked.root ?? '',
        indexer: asked.indexerName ?? '',
      });
      const { rows } = await sql`
        select name, job_id as job from uploads join users on users.id = uploaded_by where uploads.id = ${id}
      `.execute(instance.db);
      expect(rows).toEqual([{ name: 'ann', job: null }]);
    },
  );

  test('answers at once, and takes the place of the earlier one of the same directory and indexer', async () => {
    idOf(await send({}, { body: indexOf('one') }));
    expect(await answered()).toBe('one');
    idOf(await send({}, { body: indexOf('two'), route: '/.api/lsif/upload' }));
    expect(await answered()).toBe('two');
    expect((await sql`select from uploads`.execute(instance.db)).rows).toHaveLength(1);
  });

  test('may name a job of that person that indexes the same directory of the commit, and no other job', async () => {
    const indexer = { name: 'scip', image: await instance.image(), argv: ['index'] };
    const job = { queue: 'codeintel', repository: known, commit, indexer, accept: ['vm-emulated'] };
    const made = await instance.api('POST', '/api/jobs', job, { authorization: `token ${ann}` });
    const { id } = (await made.json()) as Job;
    const upload = idOf(await send({ associatedIndexId: String(id) }, { body: indexOf('one') }));
    const { rows } = await sql`select job_id as job from uploads where id = ${upload}`.execute(instance.db);
    expect(rows).toEqual([{ job: id }]);
    const named = { associatedIndexId: String(id) };
    expect((await send(named, { body: indexOf('x'), token: bob })).status).toBe(404);
    expect((await send({ ...named, root: 'sub' }, { body: indexOf('x') })).status).toBe(400);
    expect((await send({ ...named, commit: '1'.repeat(40) }, { body: indexOf('x') })).status).toBe(400);
  });

  const refused: [what: string, status: number, query: object, sent: Sent][] = [
    ['without a token', 401, {}, { token: null }],
    ['with a wrong token', 401, {}, { token: 'x'.repeat(40) }],
    ['of a repository that the instance does not know', 404, { repository: 'github.com/acme/other' }, {}],
    [
      'of a package, which the instance alone has indexed',
      404,
      { repository: ofPackage },
      { body: indexOf('x') },
    ],
    ['of a branch', 400, { commit: 'main' }, {}],
    ['of a directory outside of the repository', 400, { root: '../x' }, {}],
    ['that is LSIF', 400, {}, { headers: { 'content-type': 'application/x-ndjson+lsif' } }],
    ['that is a bomb of zeros', 400, {}, { body: gzipSync(Buffer.alloc(64 * 2 ** 20)) }],
    [
      'that is a bomb and claims to be small',
      400,
      {},
      { body: gzipSync(Buffer.alloc(64 * 2 ** 20)), headers: { 'x-uncompressed-size': '9' } },
    ],
    ['that is random', 400, {}, { body: gzipSync(randomBytes(5_000)) }],
    ['that is truncated', 400, {}, { body: indexOf('x').subarray(0, -9) }],
    ['that is not gzipped', 400, {}, { body: Buffer.from('index') }],
    ['that is no index', 400, {}, { body: gzipSync('{"id":1}') }],
    ['of another size than announced', 400, {}, { headers: { 'x-uncompressed-size': '7' } }],
    ['that unpacks to too much', 413, {}, { headers: { 'x-uncompressed-size': String(2 ** 40) } }],
  ];
  test.each(refused)('%s is refused with %i, and the earlier one answers', async (_, status, query, sent) => {
    idOf(await send({}, { body: indexOf('earlier') }));
    const answer = await send(query, { body: indexOf('x'), ...sent });
    expect(answer.status, answer.text).toBe(status);
    expect(answer.text).toContain('"message"');
    expect(await answered()).toBe('earlier');
  });

  test.each(['scip', 'lsif'])(
    'of no type is refused by the route for %s, since the oldest clients sent LSIF so',
    async (name) => {
      const query = new URLSearchParams({ repository: known, commit }).toString();
      const sent = { authorization: `token ${ann}`, type: undefined, body: indexOf('x') };
      const answer = await sendUpload(`${instance.url}/.api/${name}/upload?${query}`, sent);
      expect([answer.status, answer.text]).toEqual([400, expect.stringContaining('LSIF')]);
    },
  );

  test('with a token that may only read is refused', async () => {
    const token = await tokenOf('ann', ['code:read'], 'reads');
    expect((await send({}, { body: indexOf('x'), token })).status).toBe(403);
  });
});

/** The ways by which an index is sent: by a person, and under the lease of a job. */
describe.each(['/.api/scip/upload', '/.executors/lsif/upload'])(
  'an index that is sent in parts to %s',
  (route) => {
    let token: string;
    let named: object;
    beforeEach(async () => {
      if (route.startsWith('/.api')) [token, named] = [ann, {}];
      else {
        const indexer = { name: 'scip', image: await instance.image(), argv: ['index'] };
        const job = { queue: 'codeintel', repository: known, commit, indexer, accept: ['vm-emulated'] };
        await instance.api('POST', '/api/jobs', { ...job, priority: 9 });
        const leased = (await instance.lease({ queues: ['codeintel'], tiers: ['vm-emulated'] })) as Job;
        [token, named] = [leased.token, { associatedIndexId: String(leased.id) }];
      }
    });
    const ask = (query: object, body?: Buffer, by = token) =>
      send({ ...named, ...query }, { route, token: by, ...(body && { body }) });
    const begin = async (numParts: number) =>
      idOf(await ask({ multiPart: 'true', numParts: String(numParts) }));
    const part = (uploadId: string, index: number, body: Buffer, by?: string) =>
      ask({ uploadId, index: String(index) }, body, by);
    const finish = (uploadId: string) => ask({ uploadId, done: 'true' });
    const thirds = (bytes: Buffer) => {
      const size = Math.ceil(bytes.length / 3);
      return [0, 1, 2].map((at) => bytes.subarray(at * size, (at + 1) * size));
    };

    test('is stored when it is finished, whatever the order of its parts and however often one is sent', async () => {
      const [first, second, third] = thirds(indexOf('parts')) as [Buffer, Buffer, Buffer];
      const id = await begin(3);
      expect((await part(id, 2, third)).status).toBe(204);
      expect((await part(id, 0, second)).status).toBe(204); // it is sent again below
      const early = await finish(id);
      expect([early.status, early.text]).toEqual([400, expect.stringContaining('upload is missing 1 parts')]);
      const both = await Promise.all([part(id, 0, first), part(id, 1, second)]);
      expect(both.map(({ status }) => status)).toEqual([204, 204]);
      expect(await answered()).toBe(undefined);
      expect((await finish(id)).status).toBe(204);
      expect(await answered()).toBe('parts');
      expect((await (await instance.api('GET', `/api/uploads/${id}`)).json()) as object).toMatchObject({
        commit,
      });
      // A client that has not seen the answer asks again.
      expect((await finish(id)).status).toBe(204);
      expect((await part(id, 0, first)).status).toBe(204);
      const parts = await sql`select from partial_upload_parts`.execute(instance.db);
      expect(parts.rows).toEqual([]);
    });

    test('is refused when its parts are no index, and the earlier index answers', async () => {
      const whole = indexOf('earlier');
      const id = await begin(1);
      await part(id, 0, whole);
      await finish(id);
      const [first, second, third] = thirds(indexOf('later')) as [Buffer, Buffer, Buffer];
      const broken = await begin(3);
      for (const [at, bytes] of [second, first, third].entries()) await part(broken, at, bytes);
      expect((await finish(broken)).status).toBe(400);
      expect(await answered()).toBe('earlier');
    });

    test('is nobody else’s, and has no part beyond its last one', async () => {
      const id = await begin(2);
      expect((await part(id, 2, Buffer.from('x'))).status).toBe(400);
      expect((await part(id, -1, Buffer.from('x'))).status).toBe(400);
      expect((await part(String(Number(id) + 1), 0, Buffer.from('x'))).status).toBe(404);
      const stranger = await send({ uploadId: id, index: '0' }, { token: bob, body: Buffer.from('x') });
      expect(stranger.status).toBe(404);
      expect((await send({ uploadId: id, done: 'true' }, { token: bob })).status).toBe(404);
      expect((await ask({ multiPart: 'true', numParts: '0' })).status).toBe(400);
    });

    test('lacks the parts that a backup does not have', async () => {
      const id = await begin(1);
      const bytes = indexOf('restored');
      await part(id, 0, bytes);
      await sql`update partial_upload_parts set digest = ${`sha256:${'0'.repeat(64)}`} where upload_id = ${id}`.execute(
        instance.db,
      );
      expect((await finish(id)).text).toContain('upload is missing 1 parts');
      await part(id, 0, bytes);
      expect((await finish(id)).status).toBe(204);
    });

    test('is forgotten after a day, and at most 16 wait to be finished', async () => {
      await sql`delete from partial_uploads`.execute(instance.db);
      for (let n = 0; n < 16; n += 1) await begin(1);
      const answer = await ask({ multiPart: 'true', numParts: '1' });
      expect([answer.status, answer.text]).toEqual([429, expect.stringContaining('16 uploads')]);
      await sql`update partial_uploads set begun_at = begun_at - interval '25 hours'`.execute(instance.db);
      await removeOldPartialUploads(instance.db);
      await begin(1);
    });
  },
);

test('an upload in parts goes on after a restart of the instance', async () => {
  const connection = await server.clone();
  const openCommits = async () => ({ find: () => '/nonexistent', add: async () => false });
  const settings = { openCommits, accessToken: 'a'.repeat(40), credential: 'c'.repeat(40) };
  const bytes = indexOf('resumed');
  const query = { repository: known, commit, indexerName: 'scip' };
  const ask = async (at: TestInstance, more: object, body?: Buffer) => {
    const asked = new URLSearchParams({ ...query, ...more }).toString();
    const answer = await fetch(`${at.url}/.api/scip/upload?${asked}`, {
      method: 'POST',
      headers: { authorization: `token ${settings.accessToken}`, 'content-type': scip },
      ...(body && { body }),
    });
    return { status: answer.status, text: await answer.text() };
  };
  const first = await startTestInstance(connection, settings);
  const id = idOf(await ask(first, { multiPart: 'true', numParts: '2' }));
  expect((await ask(first, { uploadId: id, index: '0' }, bytes.subarray(0, 50))).status).toBe(204);
  const kept = await mkdtemp(join(tmpdir(), 'fumehood-kept-'));
  await cp(join(first.directory, 'blobs'), join(kept, 'blobs'), { recursive: true });
  await first.stop();
  const second = await startTestInstance(connection, { ...settings, directory: kept });
  expect((await ask(second, { uploadId: id, index: '1' }, bytes.subarray(50))).status).toBe(204);
  expect(await ask(second, { uploadId: id, done: 'true' })).toMatchObject({ status: 204 });
  await second.stop();
});
