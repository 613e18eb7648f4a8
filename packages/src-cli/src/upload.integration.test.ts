import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { bundleSrc, runSrc } from './testing/program.ts';
import { TestServer } from './testing/server.ts';

/** What the client in whose place ours is run was seen to send, and what it was answered with. */
interface Recording {
  /** Files, as it sent them: gzip, base64. */
  readonly indexes: Readonly<Record<string, string>>;
  readonly runs: readonly {
    readonly name: string;
    readonly args: readonly string[];
    /** What it inferred from the checkout that it was run in; ours infers nothing. */
    readonly inferred: readonly string[];
    readonly environment: Readonly<Record<string, string>>;
    readonly file: string;
    readonly method: string;
    readonly url: string;
    /** Those that a server can see the difference of. */
    readonly headers: Readonly<Record<string, string>>;
    readonly answer: unknown;
    /** Where it printed an object for programs. */
    readonly stdout?: unknown;
  }[];
}
const recording = JSON.parse(
  readFileSync(join(import.meta.dirname, 'testing/recording.json'), 'utf8'),
) as Recording;

let root: string;
let server: TestServer;

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'fumehood-src-'));
  for (const [name, gzip] of Object.entries(recording.indexes))
    writeFileSync(join(root, name), gunzipSync(Buffer.from(gzip, 'base64')));
  await bundleSrc(root);
});
afterAll(() => rmSync(root, { recursive: true, force: true }));
beforeEach(async () => {
  server = new TestServer();
  // By a socket, so that the endpoint may have the name that it has in the recording.
  await server.start({ path: join(root, 'socket') });
});
afterEach(() => server.stop());

describe('an upload is the request that was recorded', () => {
  it.each(recording.runs)('$name', async (run) => {
    server.answer = (response) => response.writeHead(202).end(JSON.stringify(run.answer));
    const environment = { ...run.environment, SRC_PROXY: `unix://${root}/socket` };
    const { code, stdout, stderr } = await runSrc(root, [...run.args, ...run.inferred], environment);
    expect(stderr).toBe('');
    expect(code).toBe(0);

    const [request, ...more] = server.requests;
    expect(more).toEqual([]);
    expect(request).toMatchObject({ method: run.method, url: run.url, headers: run.headers });
    expect(request?.headers).not.toHaveProperty('content-encoding');
    expect(request?.headers).not.toHaveProperty('content-length');
    const sent = Buffer.from(recording.indexes[run.file] ?? '', 'base64');
    const body = request?.body ?? Buffer.alloc(0);
    // A gzip header without a name or a time, as recorded; how well it is compressed is nobody's concern.
    expect(body.subarray(0, 8)).toEqual(sent.subarray(0, 8));
    expect(gunzipSync(body)).toEqual(gunzipSync(sent));
    if (run.stdout !== undefined) expect(JSON.parse(stdout)).toEqual(run.stdout);
  });
});

it('an upload says where it can be seen', async () => {
  const args = ['code-intel', 'upload', '-repo=acme/greeter', `-commit=${'1'.repeat(40)}`];
  const environment = { SRC_ENDPOINT: 'http://sg.example', SRC_PROXY: join(root, 'socket') };
  const { stdout } = await runSrc(root, args, environment);
  expect(stdout).toContain(
    'http://sg.example/acme/greeter/-/code-intelligence/uploads/U0NJUFVwbG9hZDo0Mg==\n',
  );
});
