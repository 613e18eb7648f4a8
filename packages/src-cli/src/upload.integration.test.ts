import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { bundleSrc, runSrc } from './testing/program.ts';
import { TestServer } from './testing/server.ts';

/** Requests that upstream's client was recorded to send, and the answers it got. */
interface Recording {
  /** The files as it sent them: gzip, base64. */
  readonly indexes: Readonly<Record<string, string>>;
  readonly runs: readonly {
    readonly name: string;
    readonly args: readonly string[];
    /** Flags that upstream's client inferred from its checkout; ours infers nothing. */
    readonly inferred: readonly string[];
    readonly environment: Readonly<Record<string, string>>;
    readonly file: string;
    readonly method: string;
    readonly url: string;
    /** The headers that matter to a server. */
    readonly headers: Readonly<Record<string, string>>;
    readonly answer: unknown;
    /** The JSON object that it printed with `-json`. */
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
  // Through a unix socket, so that the endpoint can have the name from the recording.
  await server.start({ path: join(root, 'socket') });
});
afterEach(() => server.stop());

describe("an upload sends the request that was recorded from upstream's client", () => {
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
    // As recorded, the gzip header has no name and no time. The compression level does not matter.
    expect(body.subarray(0, 8)).toEqual(sent.subarray(0, 8));
    expect(gunzipSync(body)).toEqual(gunzipSync(sent));
    if (run.stdout !== undefined) expect(JSON.parse(stdout)).toEqual(run.stdout);
  });
});

it('an upload prints its URL', async () => {
  const args = ['code-intel', 'upload', '-repo=acme/greeter', `-commit=${'1'.repeat(40)}`];
  const environment = { SRC_ENDPOINT: 'http://sg.example', SRC_PROXY: join(root, 'socket') };
  const { stdout } = await runSrc(root, args, environment);
  expect(stdout).toContain(
    'http://sg.example/acme/greeter/-/code-intelligence/uploads/U0NJUFVwbG9hZDo0Mg==\n',
  );
});
