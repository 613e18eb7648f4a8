import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { systemClock } from '@fumehood/base';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { bundleSrc, type Ended, runSrc } from './testing/program.ts';
import { TestServer } from './testing/server.ts';
import { sendIndex } from './upload.ts';

const token = 'sgp_not-for-everybody';
const upload = ['code-intel', 'upload', '-repo=acme/greeter', `-commit=${'1'.repeat(40)}`];
/** The beginning of an index: metadata with the tool's name and version. The client sends the rest without reading it. */
const head = Buffer.concat([
  Buffer.from([0x0a, 0x0d, 0x12, 0x0b, 0x0a, 0x04]),
  Buffer.from('tool'),
  Buffer.from([0x12, 0x03]),
  Buffer.from('1.0'),
]);

/** Random bytes in a document, which the client does not read. */
const skipped = (bytes: number) => [Buffer.from([0x12, ...lengthOf(bytes)]), randomBytes(bytes)];
const lengthOf = (value: number): number[] =>
  value < 128 ? [value] : [(value & 127) | 128, ...lengthOf(value >> 7)];

let root: string;
let server: TestServer;
let endpoint: string;

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'fumehood-src-'));
  mkdirSync(join(root, 'directory'));
  writeFileSync(join(root, 'index.scip'), head);
  writeFileSync(join(root, 'garbage'), 'this is not an index');
  writeFileSync(join(root, 'empty'), '');
  writeFileSync(join(root, 'random'), Buffer.concat([head, ...skipped(100_000)]));
  writeFileSync(join(root, 'big'), Buffer.concat([head, Buffer.alloc(30_000_000, Math.random().toString())]));
  await bundleSrc(root);
});
afterAll(() => rmSync(root, { recursive: true, force: true }));
beforeEach(async () => {
  server = new TestServer();
  endpoint = `http://127.0.0.1:${await server.start({ host: '127.0.0.1', port: 0 })}`;
});
afterEach(() => server.stop());

/** Runs the client and checks that its output has no stack trace and no token. */
async function src(args: readonly string[], environment: Record<string, string> = {}): Promise<Ended> {
  const ended = await runSrc(root, args, { SRC_ENDPOINT: endpoint, SRC_ACCESS_TOKEN: token, ...environment });
  const output = ended.stdout + ended.stderr;
  expect(output).not.toMatch(/^\s+at .*:\d+|node:internal/m);
  expect(output).not.toContain(token);
  return ended;
}
const answer = (status: number, body: string) => (response: ServerResponse) =>
  void response.writeHead(status).end(body);

describe('an upload exits with 1 and prints the reason', () => {
  it.each([
    [400, 'the commit is none', ': the commit is none'],
    [400, '{"error":{"code":"index_invalid","message":"it is cut off"}}', ': it is cut off'],
    [400, 'null', ': null'],
    [
      401,
      'no such token',
      ': no such token\n  Check the token: SRC_ACCESS_TOKEN, or SRC_HEADER_AUTHORIZATION.',
    ],
    [403, '', '\n  Check the token: SRC_ACCESS_TOKEN, or SRC_HEADER_AUTHORIZATION.'],
    [404, '<html>not here</html>', ''],
    [413, 'too large', ': too large'],
    [429, 'later', ': later'],
    [307, '', ''],
    [200, 'ok', ': ok'],
    [202, '{"id":42}', ': {"id":42}'],
    [202, '{"id":"0"}', ': {"id":"0"}'],
    [204, '', ''],
  ])('when the answer is %i %j, without a retry', async (status, body, message) => {
    server.answer = answer(status, body);
    const { code, stdout, stderr } = await src(upload);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toBe(`error: the instance answered the upload with ${status}${message}\n`);
    expect(server.requests).toHaveLength(1);
  });

  it('when it is refused before the instance has read the body', async () => {
    server.early = true;
    server.answer = (response) => void response.writeHead(413, { connection: 'close' }).end('too large');
    const { code, stderr } = await src([...upload, '-file=big']);
    expect(stderr).toBe('error: the instance answered the upload with 413: too large\n');
    expect(code).toBe(1);
  });

  it('when nothing listens or the connection is closed', async () => {
    server.answer = (response) => void response.destroy();
    const closed = await src(upload);
    expect(closed.code).toBe(1);
    expect(closed.stderr).toMatch(`error: ${endpoint} cannot be reached: `);
    expect(server.requests).toHaveLength(1);
    const unreachable = await src(upload, { SRC_ENDPOINT: 'http://127.0.0.1:1' });
    expect(unreachable.code).toBe(1);
    expect(unreachable.stderr).toMatch(/^error: http:\/\/127.0.0.1:1 cannot be reached: .*ECONNREFUSED/);
    expect(unreachable.stderr).toContain('Check SRC_ENDPOINT and SRC_PROXY.');
  });

  it.each([
    ['none', 'the index none cannot be read: ENOENT'],
    ['directory', 'the index directory cannot be read: it is not a file'],
    ['garbage', 'this is not a SCIP index: '],
    ['empty', 'this is not a SCIP index: '],
  ])('when the file is %s, without a request', async (file, message) => {
    // Even when the indexer and its version are given.
    const { code, stderr } = await src([...upload, `-file=${file}`, '-indexer=x', '-indexerVersion=1']);
    expect(stderr).toMatch(`error: ${message}`);
    expect(code).toBe(1);
    expect(server.requests).toEqual([]);
  });

  it.each<[string, Record<string, string>, string]>([
    ['no endpoint', { SRC_ENDPOINT: '' }, 'SRC_ENDPOINT is not set'],
    [
      'an endpoint of another scheme',
      { SRC_ENDPOINT: 'ftp://x' },
      'SRC_ENDPOINT is not an http or https URL',
    ],
    ['two credentials', { SRC_HEADER_AUTHORIZATION: 'x' }, 'SRC_ACCESS_TOKEN and SRC_HEADER_AUTHORIZATION'],
    ['a proxy of another kind', { SRC_PROXY: 'http://x' }, 'SRC_PROXY is not a unix socket'],
    ['a token that is not a valid header', { SRC_ACCESS_TOKEN: `${token}\n` }, 'Invalid character in header'],
  ])('with %s, without a request', async (_what, environment, message) => {
    const { code, stderr } = await src(upload, environment);
    expect(stderr).toMatch(`error: ${message}`);
    expect(code).toBe(1);
    expect(server.requests).toEqual([]);
  });

  it('with a root outside the repository, without a request', async () => {
    for (const root of ['/abs', '..', 'a/../..', '../x', 'a/../../.github']) {
      const { code, stderr } = await src([...upload, `-root=${root}`]);
      expect(stderr).toMatch(`error: the root ${root} is not in the repository`);
      expect(code).toBe(1);
    }
    expect(server.requests).toEqual([]);
  });
});

it('a root is sent normalized', async () => {
  for (const [root, clean] of Object.entries({
    '.': null,
    'a/../b//c/': 'b/c',
    './.github/x': '.github/x',
    '..a': '..a',
  })) {
    expect((await src([...upload, `-root=${root}`])).code).toBe(0);
    expect(new URL(server.requests.at(-1)?.url ?? '', endpoint).searchParams.get('root')).toBe(clean);
  }
});

describe('wrong usage exits with 2, without a request:', () => {
  it.each<[string, readonly string[], string]>([
    ['no repository', ['code-intel', 'upload', '-commit=x'], "required option '--repo <name>' not specified"],
    ['an unknown flag', [...upload, '-token=x'], "unknown option '--token=x'"],
    ['an id that is not a number', [...upload, '-associated-index-id=x'], 'It must be a whole number.'],
    ['parts that are too small', [...upload, '-max-payload-size=24'], 'It must be at least 25 (MB).'],
    ['no part at once', [...upload, '-max-concurrency=0'], 'It must be at least 1.'],
    ['a route without a slash', [...upload, '-upload-route=x'], 'It must begin with a slash.'],
    ['an unknown command', ['code-intel', 'download'], "unknown command 'download'"],
    ['one argument too many', [...upload, 'more'], 'too many arguments'],
  ])('%s', async (_what, args, message) => {
    const { code, stderr } = await src(args);
    expect(stderr).toContain(message);
    expect(code).toBe(2);
    expect(server.requests).toEqual([]);
  });

  it('help and version exit with 0', async () => {
    expect((await src(['--help'])).code).toBe(0);
    expect(await src(['version'])).toEqual({ code: 0, stdout: 'Current version: 7.6.0\n', stderr: '' });
  });
});

describe('a failure of the instance (5xx)', () => {
  const pauses: number[] = [];
  const clock = { ...systemClock, sleep: async (ms: number) => void pauses.push(ms) };
  const send = (name = 'index.scip', maxPayloadBytes = 1_000_000, maxConcurrency = 2) => {
    const settings = { endpoint: new URL(endpoint), headers: {}, socketPath: null };
    const facts = { repository: 'r', commit: 'c', root: '', indexer: null, indexerVersion: null };
    const parts = { maxPayloadBytes, maxConcurrency };
    const upload = { file: join(root, name), ...facts, associatedIndexId: -1, route: '/upload', ...parts };
    return sendIndex(settings, upload, clock);
  };
  beforeEach(() => {
    pauses.length = 0;
  });

  it('is retried with the same request', async () => {
    server.answer = (response) =>
      server.requests.length < 4 ? answer(503, 'soon')(response) : answer(202, '{"id":"7"}')(response);
    expect(await send()).toMatchObject({ id: 7, indexer: 'tool', indexerVersion: '1.0' });
    expect(server.requests).toHaveLength(4);
    expect(new Set(server.requests.map(({ url, body }) => url + body.toString('hex'))).size).toBe(1);
    expect(pauses).toEqual([1000, 1000, 1000]);
  });

  /** What the requests say besides what the index is of. */
  const asked = () =>
    server.requests.map(({ url, headers }) => {
      const query = new URL(url, endpoint).searchParams;
      for (const name of ['commit', 'indexerName', 'indexerVersion', 'repository']) query.delete(name);
      return `${query.toString()}${headers['x-uncompressed-size'] === undefined ? '' : ' sized'}`;
    });

  it('of a part has that part sent again; an index is finished when all parts have arrived', async () => {
    let failures = 2;
    server.answer = (response) => {
      const url = server.requests.at(-1)?.url ?? '';
      if (url.includes('index=1&') && failures-- > 0) answer(500, 'later')(response);
      else if (url.includes('multiPart')) answer(202, '{"id":"7"}')(response);
      else answer(204, '')(response);
    };
    expect(await send('random', 30_000)).toMatchObject({ id: 7, indexer: 'tool' });
    const each = [0, 1, 1, 1, 2, 3].map((index) => `index=${index}&uploadId=7`);
    const [first, ...rest] = asked();
    expect(first).toBe('multiPart=true&numParts=4 sized');
    expect(rest.slice(0, -1).sort()).toEqual(each);
    expect(rest.at(-1)).toBe('done=true&uploadId=7');
    const bodies = new Map(
      server.requests.slice(1, -1).map(({ url, body }) => [url.replace(/&indexer.*/, ''), body]),
    );
    const parts = [...bodies].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, body]) => body);
    expect(parts.slice(0, -1).map(({ length }) => length)).toEqual([30_000, 30_000, 30_000]);
    expect(gunzipSync(Buffer.concat(parts))).toEqual(readFileSync(join(root, 'random')));
  });

  it('is not what a refusal of a part is: nothing is finished then', async () => {
    server.answer = (response) =>
      server.requests.at(-1)?.url.includes('multiPart')
        ? answer(202, '{"id":"7"}')(response)
        : answer(404, 'gone')(response);
    await expect(send('random', 30_000, 1)).rejects.toMatchObject({ code: 'upload_refused', status: 404 });
    expect(asked()).toEqual(['multiPart=true&numParts=4 sized', 'index=0&uploadId=7']);
  });

  it('is reported after six attempts', async () => {
    server.answer = answer(500, 'broken');
    await expect(send()).rejects.toMatchObject({ code: 'upload_refused', status: 500 });
    expect(server.requests).toHaveLength(6);
  });
});

it('the token comes from the environment alone and goes into one header', async () => {
  expect((await src(upload)).code).toBe(0);
  const [{ url, headers, body } = { url: '', headers: {}, body: Buffer.alloc(0) }] = server.requests;
  expect(headers.authorization).toBe(`token ${token}`);
  expect(JSON.stringify({ url, ...headers, authorization: '' }) + body.toString('latin1')).not.toContain(
    token,
  );
});
