import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '@fumehood/base';
import { brokerGrantSchema } from '@fumehood/protocol';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openDialer } from '../dialer.ts';
import { guestLimits } from '../limits.ts';
import { Meter } from '../meter.ts';
import { openBroker } from './broker.ts';

const directory = mkdtempSync(join(tmpdir(), 'fumehood-broker-git-'));
const secret = 'Bearer of-the-server-of-this-test';
/** Plain HTTP, as the tests of TLS are elsewhere. It runs git's own server (RFC 3875) for who has the credential. */
const upstream = createHttpServer((request, response) => {
  const { pathname, search } = new URL(request.url ?? '', 'http://host');
  if (request.headers.authorization !== secret) {
    response.writeHead(401).end();
    return;
  }
  const child = spawn('git', ['http-backend'], {
    env: {
      ...{ PATH: process.env.PATH, GIT_PROJECT_ROOT: directory, GIT_HTTP_EXPORT_ALL: '1' },
      ...{ PATH_INFO: pathname, QUERY_STRING: search.slice(1), REQUEST_METHOD: request.method },
      CONTENT_TYPE: request.headers['content-type'],
      HTTP_CONTENT_ENCODING: request.headers['content-encoding'],
      GIT_PROTOCOL: String(request.headers['git-protocol'] ?? ''),
    },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  request.pipe(child.stdin.on('error', () => {}));
  const parts: Buffer[] = [];
  child.stdout.on('data', (part: Buffer) => parts.push(part));
  child.once('close', () => {
    const all = Buffer.concat(parts);
    const end = all.indexOf('\r\n\r\n');
    response.setHeader(
      'content-type',
      /^Content-Type: (.*)$/m.exec(all.toString('latin1', 0, end))?.[1] ?? '',
    );
    response.end(all.subarray(end + 4));
  });
});
const guestSide = createServer(
  { allowHalfOpen: true, pauseOnConnect: true },
  (socket) => void broker.serve(socket),
);
const grant = brokerGrantSchema.parse({
  ...{ name: 'code', kind: 'git', url: 'http://git.test/team/' },
  credential: { header: 'authorization', value: secret },
});
const broker = openBroker([grant], {
  clock: systemClock,
  meter: new Meter(guestLimits),
  rules: { policy: { mode: 'public' }, privateHosts: [], own: new Set() },
  resolve: async () => ({ code: 'ok', addresses: ['93.184.216.34'], ttlSeconds: 60 }),
  dial: () =>
    openDialer(null)({
      ...{ name: null, addresses: ['127.0.0.1'], port: (upstream.address() as AddressInfo).port },
    }),
  hasProxy: () => false,
  onReceipt: () => {},
});

const environment = {
  ...{ PATH: process.env.PATH, GIT_CONFIG_NOSYSTEM: '1', GIT_TERMINAL_PROMPT: '0', HOME: directory },
  ...{ GIT_AUTHOR_NAME: 't', GIT_AUTHOR_EMAIL: 't', GIT_COMMITTER_NAME: 't', GIT_COMMITTER_EMAIL: 't' },
};

/** Runs git as a step does: it knows the broker's name, and no credential. Resolves with its output. */
async function git(...args: string[]): Promise<string> {
  const child = spawn('git', ['-c', 'http.extraHeader=Host: code.broker.internal', ...args], {
    env: environment,
    cwd: directory,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (part: Buffer) => (output += String(part)));
  await once(child, 'close');
  return output;
}
/** Returns the address of a repository at the broker, whose port is 80 in a guest. */
const urlOf = (path: string) => `http://127.0.0.1:${(guestSide.address() as AddressInfo).port}/${path}`;

beforeAll(async () => {
  const work = join(directory, 'work');
  const run = (...args: string[]) =>
    execFileSync('git', ['-C', work, ...args], { env: environment, stdio: 'ignore' });
  execFileSync('git', ['init', '-q', work], { env: environment });
  for (const message of ['first', 'second', 'third']) run('commit', '--allow-empty', '-m', message);
  run('tag', '-a', 'v1', '-m', 'v1');
  run('clone', '--bare', '.', join(directory, 'team/app.git'));
  upstream.listen(0, '127.0.0.1');
  guestSide.listen(0, '127.0.0.1');
  await Promise.all([once(upstream, 'listening'), once(guestSide, 'listening')]);
});
afterAll(() => {
  guestSide.close();
  upstream.closeAllConnections();
  upstream.close();
  rmSync(directory, { recursive: true });
});

it('git clones with a depth, deepens, and fetches tags, and pushes nothing', async () => {
  expect(await git('clone', '-q', '--depth', '1', '--no-tags', urlOf('team/app.git'), 'app')).toBe('');
  const count = () => git('-C', 'app', 'rev-list', '--count', 'HEAD');
  expect(await count()).toBe('1\n');
  await git('-C', 'app', 'fetch', '-q', '--deepen', '1');
  expect(await count()).toBe('2\n');
  await git('-C', 'app', 'fetch', '-q', '--unshallow', '--tags');
  expect(await count()).toBe('3\n');
  expect(await git('-C', 'app', 'tag')).toBe('v1\n');
  await git('-C', 'app', 'commit', '-q', '--allow-empty', '-m', 'fourth');
  expect(await git('-C', 'app', 'push', 'origin', 'HEAD')).toContain(
    'it takes what `git fetch` sends, and nothing else',
  );
  expect(await git('clone', urlOf('other/b.git'))).toContain('the path is not below /team/');
});
