import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import {
  type CodeLocations,
  createTokenSchema,
  madeTokenSchema,
  type Scope,
  type UploadRecord,
} from '@fumehood/protocol';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openTestServer, type TestServer } from '../../packages/instance/src/db/testing.ts';
import { partsOfFinished } from '../../packages/instance/src/testing/index-upload.ts';
import { startTestInstance, type TestInstance } from '../../packages/instance/src/testing/instance.ts';
import { scipFile, scipIndex } from '../../packages/instance/src/testing/scip.ts';

/** Sourcegraph's own `src` client on a laptop, with the access token of a person: `SRC_CLIENT=/path/to/src npm run test:interop`. */
const client = process.env.SRC_CLIENT ?? '';
const repository = 'acme/greeter';
const commit = 'a'.repeat(40);

let server: TestServer;
let instance: TestInstance;
let directory: string;
let writer: string;
beforeAll(async () => {
  expect(existsSync(client), 'SRC_CLIENT must name a file').toBe(true);
  server = openTestServer();
  instance = await startTestInstance(await server.clone());
  directory = await mkdtemp(join(tmpdir(), 'src-person-'));
  await instance.api('POST', '/api/access/users', { name: 'ann' });
  writer = await tokenWith('writer', 'code:write');
});
afterAll(async () => {
  await rm(directory, { recursive: true });
  await instance.stop();
  await server.stop();
});

async function tokenWith(name: string, ...scopes: Scope[]): Promise<string> {
  const token = createTokenSchema.parse({ name, user: 'ann', scopes });
  return madeTokenSchema.parse(await (await instance.api('POST', '/api/access/tokens', token)).json()).secret;
}

/** Writes an index in which line 3 of `b.ts` refers to line 7 of `a.ts`, and which has more than `mebibytes` after gzip. */
async function writeIndex(mebibytes = 0): Promise<void> {
  const symbol = 'scip-typescript npm greeter 1.0.0 src/`a.ts`/greet().';
  const large = Array.from({ length: mebibytes }, (_, n) =>
    scipFile(`large/${n}.ts`, [], { content: randomBytes(2 ** 20).toString('hex') }),
  );
  const index = scipIndex([
    scipFile('a.ts', [{ range: [7, 16, 21], symbol, role: 1 }]),
    scipFile('b.ts', [{ range: [3, 2, 7], symbol }]),
    ...large,
  ]);
  await writeFile(join(directory, 'index.scip'), index);
}

/** Runs the client as a person does. */
function upload(token: string, indexer: string, ...more: string[]) {
  const args = ['code-intel', 'upload', '-json', `-repo=${repository}`, `-commit=${commit}`, '-root=web'];
  const index = ['-file=index.scip', '-indexerVersion=1', `-indexer=${indexer}`];
  const env = { SRC_ENDPOINT: instance.url, SRC_ACCESS_TOKEN: token, HOME: directory };
  return promisify(execFile)(client, [...args, ...index, ...more], { cwd: directory, env });
}

/** Expects that an index was stored as one of a person, and that it answers. Returns the number of the upload. */
async function expectAnswers(stdout: string, indexer: string, documents: number): Promise<number> {
  const { uploadId } = JSON.parse(stdout) as { uploadId: number };
  const record = (await (await instance.api('GET', `/api/uploads/${uploadId}`)).json()) as UploadRecord;
  expect(record).toMatchObject({ repository, commit, root: 'web', indexer, uploadedBy: 'ann', documents });
  const place = { repository, revision: commit, path: 'web/b.ts', line: '3', character: '4' };
  const answer = await instance.api('GET', `/api/code/definition?${new URLSearchParams(place).toString()}`);
  const { precision, locations } = (await answer.json()) as CodeLocations;
  expect(precision).toBe('exact');
  expect(locations).toContainEqual(
    expect.objectContaining({ path: 'web/a.ts', line: 7, character: 16, upload: uploadId }),
  );
  return uploadId;
}

test.each(['/.api/scip/upload', '/.api/lsif/upload'])(
  'the real client uploads an index of a person to %s, which answers',
  async (route) => {
    await writeIndex();
    const indexer = `whole-${route}`;
    const { stdout } = await upload(writer, indexer, `-upload-route=${route}`);
    await expectAnswers(stdout, indexer, 2);
  },
);

test('the real client uploads an index of a person in parts, which answers', async () => {
  const mebibytes = 30;
  await writeIndex(mebibytes);
  // In MB; the client takes no smaller number.
  const { stdout } = await upload(writer, 'parts', '-max-payload-size=25');
  const id = await expectAnswers(stdout, 'parts', 2 + mebibytes);
  expect(await partsOfFinished(instance.db, id)).toBe(2);
}, 60_000);

test('the real client reports that a token may not upload', async () => {
  await writeIndex();
  await expect(upload(await tokenWith('reader', 'code:read'), 'refused')).rejects.toMatchObject({
    code: 1,
    stderr: expect.stringContaining('needs an access token with the scope code:write') as string,
  });
});
