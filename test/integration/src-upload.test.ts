import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '@fumehood/base';
import { createTokenSchema, madeTokenSchema, type UploadRecord } from '@fumehood/protocol';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openTestServer, type TestServer } from '../../packages/instance/src/db/testing.ts';
import { startTestInstance, type TestInstance } from '../../packages/instance/src/testing/instance.ts';
import { scipDocument, scipIndex } from '../../packages/instance/src/testing/scip.ts';
import { bundleSrc, runSrc } from '../../packages/src-cli/src/testing/program.ts';
import { sendIndex } from '../../packages/src-cli/src/upload.ts';

/** Our `src` on a laptop, with a personal token, against an instance. */
const commit = 'a'.repeat(40);
const index = scipIndex(
  Array.from({ length: 20 }, (_, n) => scipDocument(`f${n}.ts`, [randomBytes(2_000).toString('hex')])),
);
let server: TestServer;
let instance: TestInstance;
let directory: string;
let secret: string;
beforeAll(async () => {
  server = openTestServer();
  instance = await startTestInstance(await server.clone());
  directory = await mkdtemp(join(tmpdir(), 'src-upload-'));
  await writeFile(join(directory, 'index.scip'), index);
  await instance.api('POST', '/api/access/users', { name: 'ann' });
  const token = createTokenSchema.parse({ name: 'laptop', user: 'ann', scopes: ['code:read', 'code:write'] });
  const made = await instance.api('POST', '/api/access/tokens', token);
  ({ secret } = madeTokenSchema.parse(await made.json()));
  await bundleSrc(directory);
});
afterAll(async () => {
  await rm(directory, { recursive: true });
  await instance.stop();
  await server.stop();
});

const recordOf = async (id: number) =>
  (await (await instance.api('GET', `/api/uploads/${id}`)).json()) as UploadRecord;
const stored = {
  repository: 'acme/greeter',
  commit,
  root: 'web',
  uploadedBy: 'ann',
  jobId: null,
  documents: 20,
};

test('uploads an index in one request', async () => {
  const args = ['code-intel', 'upload', '-json', '-repo=acme/greeter', `-commit=${commit}`, '-root=web/'];
  const env = { SRC_ENDPOINT: instance.url, SRC_ACCESS_TOKEN: secret };
  const { code, stdout, stderr } = await runSrc(directory, [...args, '-indexer=one'], env);
  expect([code, stderr]).toEqual([0, '']);
  const { uploadId } = JSON.parse(stdout) as { uploadId: number };
  expect(await recordOf(uploadId)).toMatchObject({ ...stored, indexer: 'one' });
  const refused = await runSrc(directory, args, { ...env, SRC_ACCESS_TOKEN: 'wrong' });
  expect(refused.code).toBe(1);
  expect(refused.stderr).toContain('answered the upload with 401: this request needs an access token');
});

test('uploads an index in parts', async () => {
  const headers = { authorization: `token ${secret}` };
  const { id } = await sendIndex(
    { endpoint: new URL(instance.url), headers, socketPath: null },
    {
      ...{ file: join(directory, 'index.scip'), repository: 'acme/greeter', commit, root: 'web' },
      ...{ indexer: 'parts', indexerVersion: null, associatedIndexId: -1, route: '/.api/scip/upload' },
      ...{ maxPayloadBytes: 5_000, maxConcurrency: 4 },
    },
    systemClock,
  );
  expect(await recordOf(id)).toMatchObject({ ...stored, indexer: 'parts' });
});
