import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { gunzipSync, gzipSync } from 'node:zlib';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
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

describe('a client of upstream’s asks by GraphQL', () => {
  interface Answered {
    readonly data?: Record<string, unknown> | null;
    readonly errors?: { readonly message: string }[];
  }
  const path = '/.api/graphql';
  /** Sends a request as `src` does: gzipped, and with null for variables that it has not. */
  const ask = async (query: string, variables: object | null = null) => {
    const response = await fetch(`${instance.url}${path}`, {
      method: 'POST',
      headers: {
        authorization: `token ${environment.FUMEHOOD_TOKEN}`,
        ...{ 'content-type': 'application/json', 'content-encoding': 'gzip' },
      },
      body: new Uint8Array(gzipSync(JSON.stringify({ query, variables }))),
    });
    expect(response.status).toBe(200);
    return (await response.json()) as Answered;
  };
  const about = `
    query Code($repository: String!, $rev: String!, $path: String!, $line: Int!, $character: Int!, $first: Int, $after: String) {
      repository(name: $repository) { name commit(rev: $rev) { oid blob(path: $path) { lsif {
        definitions(line: $line, character: $character) { nodes { ...place } }
        references(line: $line, character: $character, first: $first, after: $after) {
          nodes { ...place }
          pageInfo { endCursor hasNextPage }
        }
        implementations(line: $line, character: $character) { nodes { ...place } }
        hover(line: $line, character: $character) { markdown { text } range { start { line character } } }
      } } } }
    }
    fragment place on Location {
      url
      resource { path repository { name } commit { oid } }
      range { start { line character } end { line character } }
    }`;
  interface Node {
    readonly url: string;
    readonly resource: { readonly path: string };
    readonly range: Record<'start' | 'end', { readonly line: number; readonly character: number }>;
  }
  interface Lsif {
    readonly definitions: { readonly nodes: Node[] };
    readonly references: {
      readonly nodes: Node[];
      readonly pageInfo: { readonly endCursor: string | null; readonly hasNextPage: boolean };
    };
    readonly implementations: { readonly nodes: Node[] };
    readonly hover: { readonly markdown: { readonly text: string } } | null;
  }
  const lsifAt = async (file: string, line: number, character: number, page: object = {}) => {
    const place = { repository, rev: commit, path: `src/${file}`, line, character };
    const { data, errors } = await ask(about, { ...place, ...page });
    expect(errors).toBeUndefined();
    const found = data as { repository: { commit: { blob: { lsif: Lsif } } } };
    return found.repository.commit.blob.lsif;
  };
  const placesOf = ({ nodes }: { readonly nodes: Node[] }) =>
    nodes.map(({ resource, range: { start, end } }) => {
      const range = [start.line, start.character, end.line, end.character].join();
      return `${resource.path.replace('src/', '')} ${range}`;
    });

  test('which server this is, and who asks, with the query of `src login`', async () => {
    expect(await ask('query CurrentUser { currentUser { username } }')).toEqual({
      data: { currentUser: { username: 'admin' } },
    });
    const { data } = await ask('{ site { productVersion } }');
    expect(data).toEqual({ site: { productVersion: expect.stringMatching(/^\d+\.\d+\.\d+$/) } });
  });

  const none: string[] = [];
  test.each([
    [
      ...(['main.ts', 4, 11, ['model.ts 1,17,1,24']] as const),
      ['main.ts 0,18,0,25', 'main.ts 4,11,4,18', 'model.ts 6,32,6,39'],
      ['model.ts 6,13,6,20'],
    ],
    ['main.ts', 5, 24, ['model.ts 3,2,3,7'], ['main.ts 5,23,5,28'], ['model.ts 8,2,8,7']],
    ['util/text.ts', 2, 8, ['util/text.ts 2,8,2,14'], ['util/text.ts 3,9,3,15'], none],
    ['emoji.ts', 1, 18, none, none, none],
  ] as const)('%s %i:%i', async (file, line, character, definitions, references, implementations) => {
    const lsif = await lsifAt(file, line, character);
    expect(placesOf(lsif.definitions)).toEqual(definitions);
    expect(placesOf(lsif.references)).toEqual(references);
    expect(placesOf(lsif.implementations)).toEqual(implementations);
  });

  test('references page by page, what a symbol is, and where a place is', async () => {
    const first = await lsifAt('main.ts', 4, 11, { first: 2 });
    const { endCursor, hasNextPage } = first.references.pageInfo;
    expect(hasNextPage).toBe(true);
    const second = await lsifAt('main.ts', 4, 11, { first: 2, after: endCursor });
    expect(placesOf(second.references)).toEqual(['model.ts 6,32,6,39']);
    expect(second.references.pageInfo).toEqual({ endCursor: null, hasNextPage: false });
    expect(first.definitions.nodes[0]).toMatchObject({
      url: `/acme/greeter@${commit}/-/blob/src/model.ts?L2:18-2:25`,
      resource: { repository: { name: repository }, commit: { oid: commit } },
    });
    expect((await lsifAt('main.ts', 5, 24)).hover?.markdown.text).toContain('greet(name: string) => string');
  });

  test('what is not there is null, and a mistake is an error of status 200', async () => {
    const place = { repository, rev: 'f'.repeat(40), path: 'src/main.ts', line: 0, character: 0 };
    const unindexed = { commit: { oid: place.rev, blob: { lsif: null } } };
    expect(await ask(about, place)).toEqual({ data: { repository: { name: repository, ...unindexed } } });
    expect(await ask('{ repository(name: "acme/none") { id } }')).toEqual({ data: { repository: null } });
    const { data } = await ask(
      '{ repository(name: "acme/greeter") { commit(rev: "main") { oid } defaultBranch { name } } }',
    );
    expect(data).toEqual({ repository: { commit: null, defaultBranch: null } });
    const { errors } = await ask(about, { ...place, rev: commit, line: -1 });
    expect(errors?.map(({ message }) => message)).toContain('`line` and `character` count from 0');
    expect((await ask('{ sight }')).errors?.[0]?.message).toContain('Cannot query field "sight"');
  });

  test('with a token that may read code, a query of at most 256 KiB, and a body of at most 16 MiB, or 32 when it is unpacked', async () => {
    const send = (body: Buffer, headers: Record<string, string> = {}) =>
      instance.api('POST', path, body, { 'content-type': 'application/json', ...headers });
    const login = JSON.stringify({ query: '{ currentUser { username } }', variables: null });
    expect((await send(Buffer.from(login))).status).toBe(200);
    expect((await send(Buffer.from(login), { authorization: 'token x' })).status).toBe(401);
    const made = await instance.api('POST', '/api/access/tokens', { name: 'jobs', scopes: ['jobs:read'] });
    const { secret } = (await made.json()) as { secret: string };
    expect((await send(Buffer.from(login), { authorization: `token ${secret}` })).status).toBe(403);
    const large = (bytes: number) => Buffer.from(login.padEnd(bytes));
    expect((await send(large(2 ** 24 + 1))).status).toBe(413);
    expect((await send(gzipSync(large(2 ** 24 + 1)), { 'content-encoding': 'gzip' })).status).toBe(200);
    expect((await send(gzipSync(large(2 ** 25 + 1)), { 'content-encoding': 'gzip' })).status).toBe(413);
    const query = JSON.stringify({ query: ' '.repeat(2 ** 18 + 1) });
    expect((await send(Buffer.from(query))).status).toBe(400);
    for (const body of ['{', '[]', '{"query":1}', '{"query":"{a}","variables":[]}'])
      expect((await send(Buffer.from(body))).status).toBe(400);
  });
});
