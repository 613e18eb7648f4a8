import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { gunzipSync } from 'node:zlib';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { storeUpload } from '../../packages/instance/src/codeintel/store.ts';
import { openTestServer, type TestServer } from '../../packages/instance/src/db/testing.ts';
import type { Leased } from '../../packages/instance/src/queue/queue.ts';
import { leaseOf, testQueue } from '../../packages/instance/src/queue/testing.ts';
import { startTestInstance, type TestInstance } from '../../packages/instance/src/testing/instance.ts';

/** Tests the programs that ask an instance about code, each as its user starts it. */
const packages = resolve(import.meta.dirname, '../../packages');
const command = join(packages, 'fumehood/bin/fumehood.mjs');
const repository = 'acme/greeter';
const commit = '0'.repeat(40);

let server: TestServer;
let instance: TestInstance;
let directory: string;
let environment: Record<string, string>;

beforeAll(async () => {
  server = openTestServer();
  instance = await startTestInstance(await server.clone());
  directory = mkdtempSync(join(tmpdir(), 'fumehood-code-'));
  const made = await instance.api('POST', '/api/access/tokens', { name: 'agent', scopes: ['code:read'] });
  const { secret } = (await made.json()) as { secret: string };
  environment = { HOME: directory, FUMEHOOD_URL: `unix:${instance.socket}`, FUMEHOOD_TOKEN: secret };
  await storeIndex();
});
afterAll(async () => {
  await instance.stop();
  await server.stop();
  rmSync(directory, { recursive: true });
});

/** Stores what scip-typescript 0.4.0 wrote of four small files. */
async function storeIndex(): Promise<void> {
  const file = join(packages, 'instance/src/codeintel/testing/greeter.scip.gz.base64');
  const index = gunzipSync(Buffer.from(readFileSync(file, 'utf8'), 'base64'));
  const { add, take } = testQueue(() => instance.db);
  await add({ queue: 'codeintel', repository, commit });
  const grant = { ...leaseOf((await take({ queues: ['codeintel'] }, 86_400_000)) as Leased), root: null };
  const place = { repository, commit, root: '', indexer: 'scip-typescript', indexerVersion: '0.4.0' };
  await storeUpload(
    instance.db,
    { grant },
    place,
    (async function* chunks() {
      yield index;
    })(),
  );
}

async function fumehood(...args: string[]) {
  const child = spawn(process.execPath, [command, ...args], {
    env: { PATH: process.env.PATH, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [stdout, stderr, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'exit'),
  ]);
  return { code: code as number, stdout, stderr };
}

test('a person asks on the command line', async () => {
  const place = [repository, 'src/main.ts:6:25', '--revision', commit];
  const definition = 'scip-typescript npm @acme/greeter 0.3.1 src/`model.ts`/Greeter#greet().';
  expect(await fumehood('code', 'def', ...place)).toEqual({
    ...{ code: 0, stdout: `src/model.ts:4:3  ${definition}\n`, stderr: '' },
  });
  const other = ['--revision', 'f'.repeat(40)];
  const { code, stdout, stderr } = await fumehood('code', 'def', repository, 'src/main.ts:1:1', ...other);
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  expect(stderr).toMatch(
    /^fumehood: no index of acme\/greeter at ffffffffffff covers src\/main.ts\n {2}Have/,
  );
});

test('a coding agent asks by the tools of the server that it starts', async () => {
  const transport = new StdioClientTransport({
    ...{ command: process.execPath, args: [command, 'mcp'], stderr: 'pipe' },
    env: { PATH: process.env.PATH ?? '', ...environment },
  });
  const said = text(transport.stderr as NodeJS.ReadableStream);
  const client = new Client({ name: 'test', version: '1' });
  const mistakes: Error[] = [];
  // Also for a line on stdout that is not of the protocol.
  Object.assign(client, { onerror: (error: Error) => mistakes.push(error) });
  await client.connect(transport);
  const { tools } = await client.listTools();
  expect(tools.map(({ name }) => name)).toEqual([
    ...['repositories', 'definition', 'references', 'implementations', 'callers', 'hover', 'symbols'],
  ]);
  const call = (name: string, args: object) => client.callTool({ name, arguments: { ...args } });
  const place = { repository, revision: commit, path: 'src/main.ts', line: 5, column: 12 };
  const definition = await call('definition', place);
  expect(definition.structuredContent).toMatchObject({
    precision: 'exact',
    locations: [{ path: 'src/model.ts', line: 2, column: 18, endLine: 2, endColumn: 25 }],
  });
  const pages: unknown[] = [];
  let cursor: string | undefined;
  do {
    const { structuredContent } = await call('references', { ...place, limit: 2, cursor });
    const page = structuredContent as { locations: { path: string; line: number }[]; next: string | null };
    pages.push(page.locations.map(({ path, line }) => `${path}:${line}`));
    cursor = page.next ?? undefined;
  } while (cursor !== undefined);
  expect(pages).toEqual([['src/main.ts:1', 'src/main.ts:5'], ['src/model.ts:7']]);
  const refused = await call('hover', { ...place, revision: 'f'.repeat(40) });
  expect(refused).toMatchObject({
    isError: true,
    content: [{ text: expect.stringMatching(/no index.*covers src\/main\.ts\nHave the commit indexed/) }],
  });
  await client.close();
  expect({ mistakes, said: await said }).toEqual({ mistakes: [], said: '' });
});

test('Ctrl-C ends the server, over stdin and over HTTP', async () => {
  const start = (...args: string[]) =>
    spawn(process.execPath, [command, 'mcp', ...args], {
      env: { PATH: process.env.PATH, ...environment },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
  const listening = start('--listen', '127.0.0.1:0');
  const [line] = await once(listening.stderr, 'data');
  expect(String(line)).toMatch(/^listening at http:\/\/127\.0\.0\.1:\d+\/mcp\n$/);
  const piped = start();
  piped.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'ping' })}\n`);
  const [answer] = await once(piped.stdout, 'data');
  expect(String(answer)).toBe('{"result":{},"jsonrpc":"2.0","id":1}\n');
  for (const child of [listening, piped]) {
    child.kill('SIGINT');
    expect(await once(child, 'exit')).toEqual([0, null]);
  }
});
