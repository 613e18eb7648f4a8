import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { fakeRelease } from '../../packages/executor/src/testing/fake-release.ts';

// The archives are made here, and their binaries only say a version: Firecracker's own are not fetched by any test.

const command = resolve(import.meta.dirname, '../../packages/fumehood/bin/fumehood.mjs');
const old = fakeRelease('1.16.1');
const next = fakeRelease('1.16.2');
let root: string;
let state: string;
let server: Server;
let handle: RequestListener;
let url: string;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'fumehood-firecracker-'));
  await chmod(root, 0o755);
  server = createServer((request, response) => handle(request, response)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/firecracker.tgz`;
});
afterAll(async () => {
  server.closeAllConnections();
  server.close();
  await rm(root, { recursive: true });
});
beforeEach(() => {
  handle = (_, response) => response.end(next.archive);
  state = join(root, 'state');
});
afterEach(() => rm(state, { recursive: true, force: true }));

/** Starts the command with arguments after `executor install firecracker`. */
function start(args: readonly string[]) {
  const child = spawn(process.execPath, [command, 'executor', 'install', 'firecracker', ...args], {
    cwd: root,
    env: { PATH: process.env.PATH, HOME: root, FUMEHOOD_STATE: state },
  });
  const output = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk: Buffer) => (output.stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (output.stderr += chunk.toString()));
  const ended = once(child, 'close').then(([code]) => ({ code: code as number | null, ...output }));
  return { child, ended };
}
const install = async (...args: string[]) => await start(args).ended;
const release = ({ release: { version, sha256 } }: typeof old) => ['--version', version, '--sha256', sha256];
const versions = () => readdirSync(join(state, 'firecracker')).toSorted();

it('two versions are installed side by side, each from where it is, and once', async () => {
  const file = join(root, 'old.tgz');
  await writeFile(file, old.archive);
  const first = await install(...release(old), '--from', 'old.tgz', '--json');
  expect(first).toMatchObject({ code: 0, stderr: '' });
  const binary = join(state, 'firecracker/1.16.1/firecracker');
  const lines = first.stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  const sha256 = old.release.sha256;
  expect(lines.at(-1)).toEqual({ version: '1.16.1', sha256, alreadyInstalled: false, binary });
  const totalBytes = old.archive.length;
  expect(lines[0]).toEqual({ event: 'fetching', from: file, receivedBytes: 0, totalBytes });
  expect(lines.at(-2)).toEqual({ event: 'fetching', from: file, receivedBytes: totalBytes, totalBytes });

  const signed = `${url}?signature=secret`;
  const second = await install(...release(next), '--from', signed);
  expect(second).toEqual({
    code: 0,
    stdout: '',
    stderr: `fetching ${signed}\nFirecracker 1.16.2 is installed: ${state}/firecracker/1.16.2/firecracker\n`,
  });
  expect(versions()).toEqual(['1.16.1', '1.16.2']);
  const record = readFileSync(join(state, 'firecracker/1.16.2/install.json'), 'utf8');
  expect(JSON.parse(record)).toEqual({ version: '1.16.2', sha256: next.release.sha256, from: url });
  expect(spawnSync(binary, ['--version'], { encoding: 'utf8' }).stdout).toBe('Firecracker v1.16.1\n');

  handle = (_, response) => response.writeHead(500).end();
  const again = await install(...release(next), '--from', url);
  expect(again).toMatchObject({ code: 0, stderr: expect.stringContaining('1.16.2 is already installed') });
});

describe('nothing is installed, and the earlier version stays,', () => {
  beforeEach(async () => {
    const file = join(root, 'old.tgz');
    await writeFile(file, old.archive);
    expect(await install(...release(old), '--from', file)).toMatchObject({ code: 0 });
  });
  afterEach(() => {
    expect(versions()).toEqual(['1.16.1']);
  });
  const refusal = (code: number, text: RegExp) => ({ code, stdout: '', stderr: expect.stringMatching(text) });

  it('from an archive of another release', async () => {
    handle = (_, response) => response.end(old.archive);
    const refused = await install(...release(next), '--from', url);
    expect(refused).toEqual(refusal(1, /is not the release: its SHA-256 is [^\n]+\n {2}Fetch it again/));
    // Without --version, the archive has to be the known release.
    expect(await install('--from', url)).toEqual(refusal(1, /that of the release is 06094a11|e351ebe4/));
  });

  it('for a version that is refused, or whose checksum nobody knows', async () => {
    const vulnerable = fakeRelease('1.13.1');
    expect(await install(...release(vulnerable), '--from', url)).toEqual(refusal(2, /older than 1\.14\.0/));
    expect(await install('--version', '1.16.2', '--from', url)).toEqual(refusal(2, /--sha256 HEX/));
  });

  it('when it is interrupted while the archive arrives, and the next call installs it', async () => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      const arriving = Promise.withResolvers<void>();
      handle = (_, response) => {
        const length = { 'content-length': next.archive.length };
        response.writeHead(200, length).write(next.archive.subarray(0, 100));
        arriving.resolve();
      };
      const { child, ended } = start([...release(next), '--from', url]);
      await arriving.promise;
      child.kill(signal);
      expect(await ended).toMatchObject({
        code: 130,
        stderr: expect.stringContaining('interrupted: nothing'),
      });
      expect(versions()).toEqual(['1.16.1']);
    }
    handle = (_, response) => response.end(next.archive);
    expect(await install(...release(next), '--from', url)).toMatchObject({ code: 0 });
    await rm(join(state, 'firecracker/1.16.2'), { recursive: true });
  });
});

it.runIf(process.getuid?.() === 0)('a full disk is named, and leaves the earlier version', async () => {
  await mkdir(state);
  const size = 'size=192k';
  expect(spawnSync('mount', ['-t', 'tmpfs', '-o', `${size},mode=0755`, 'none', state]).status).toBe(0);
  try {
    const file = join(root, 'old.tgz');
    await writeFile(file, old.archive);
    expect(await install(...release(old), '--from', file)).toMatchObject({ code: 0 });
    const padded = fakeRelease('1.16.2', `Firecracker v1.16.2\n${'#'.repeat(300_000)}`);
    handle = (_, response) => response.end(padded.archive);
    expect(await install(...release(padded), '--from', url)).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/cannot be written: ENOSPC[^\n]+\n {2}Free some space there/),
    });
    expect(versions()).toEqual(['1.16.1']);
  } finally {
    expect(spawnSync('umount', [state]).status).toBe(0);
  }
});

it('a state directory of somebody else is refused before anything is fetched', async () => {
  await mkdir(state);
  await writeFile(join(state, 'a file of another program'), '');
  let asked = false;
  handle = (_, response) => {
    asked = true;
    response.end(next.archive);
  };
  expect(await install(...release(next), '--from', url)).toMatchObject({ code: 2 });
  expect(asked).toBe(false);
  expect(existsSync(join(state, 'firecracker'))).toBe(false);
  expect(readFileSync(join(state, 'a file of another program'), 'utf8')).toBe('');
});
