import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { request } from 'node:http';
import { join } from 'node:path';
import { collect } from '@fumehood/base';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openTestServer, type TestServer } from '../db/testing.ts';
import { command, objectsIn } from '../testing/git-protocol.ts';
import { type Answer, type GitTarget, gitPath, repository, startGitTarget } from '../testing/git-target.ts';
import { makeSource, type Source } from '../testing/source.ts';

/** Requests to the git route other than a clone of the job's repository. */
let server: TestServer;
let source: Source;
let target: GitTarget;
/** How many programs had been started before the test. */
let before: number;

beforeAll(async () => {
  server = openTestServer();
  source = makeSource();
  target = await startGitTarget(server);
  await target.put(source.commit, source.alone(source.commit));
  await target.put(source.secret, source.alone(source.secret), 'acme/secret');
  await target.lease(source.commit);
});
afterAll(async () => {
  await target.stop();
  await server.stop();
  source.remove();
});
beforeEach(() => {
  before = target.started.length;
});
const startedSince = () => target.started.length - before;

/** Sends a request with exactly this path, which `fetch` would normalize. */
async function send(method: string, path: string, more: Record<string, string> = {}): Promise<Answer> {
  const sent = request(target.instance.url, { method, path, headers: { ...target.headers(), ...more } });
  sent.end(method === 'POST' ? fetchRequest() : undefined);
  const [response] = await once(sent, 'response');
  return { status: response.statusCode, bytes: await collect(response, 2 ** 24) };
}
const fetchRequest = () => command('fetch', `want ${source.commit}`, 'done');
const v2 = { 'git-protocol': 'version=2', 'content-type': 'application/x-git-upload-pack-request' };

describe('the route serves only the repository of the job', () => {
  it('by its name, even when it is percent-encoded', async () => {
    for (const name of [repository, 'acme%2Fpayments', '%61cme/payments']) {
      const at = `/.executors/git/${name}`;
      const answer = await send('GET', `${at}/info/refs?service=git-upload-pack`);
      expect(answer.bytes.toString(), name).toContain(source.commit);
      expect(objectsIn((await send('POST', `${at}/git-upload-pack`, v2)).bytes)).toContain(source.commit);
    }
    expect(startedSince()).toBe(6);
  });

  it.each([
    'acme/secret',
    'acme/payments/../secret',
    'acme/payments/%2e%2e/secret',
    'acme/payments%2f..%2fsecret',
    'acme/payments/..%5csecret',
    'acme/payments/%252e%252e/secret',
    '../git/acme/secret',
    '/acme/payments',
    'acme//payments',
    'acme/payments/',
    './acme/payments',
    'acme/payments/.',
    'acme/payments%00',
    'acme/payments%00/../secret',
    'acme/payments%0a',
    'acme/payments.git',
    'ACME/payments',
    'acme/payments%20',
    'acme/payments;',
    '%ff%fe',
    '%',
    '..',
    '/etc',
    '',
  ])('and refuses %j', async (name) => {
    for (const answer of [
      await send('GET', `/.executors/git/${name}/info/refs?service=git-upload-pack`),
      await send('POST', `/.executors/git/${name}/git-upload-pack`, v2),
    ]) {
      expect([400, 403, 404]).toContain(answer.status);
      expect(answer.bytes.includes(source.secret)).toBe(false);
    }
    expect(startedSince()).toBe(0);
  });
});

describe('the route speaks only the protocol for reading', () => {
  const paths: [method: string, path: string, service?: string][] = [
    ['GET', 'HEAD'],
    ['GET', 'config'],
    ['GET', 'packed-refs'],
    ['GET', 'info/refs'],
    ['GET', 'info/alternates'],
    ['GET', 'objects/info/packs'],
    ['GET', 'objects/info/alternates'],
    ['GET', 'objects/info/http-alternates'],
    ['GET', 'objects/pack'],
    ['GET', 'git-upload-pack'],
    ['GET', 'info/refs', 'git-receive-pack'],
    ['GET', 'info/refs', 'git-upload-archive'],
    ['GET', 'info/refs', 'git-upload-pack&service=git-receive-pack'],
    ['GET', 'info/refs', 'git-upload-pack%00'],
    ['POST', 'git-receive-pack'],
    ['POST', 'git-upload-archive'],
    ['POST', 'info/refs', 'git-upload-pack'],
    ['PUT', 'git-upload-pack'],
    ['DELETE', 'HEAD'],
  ];
  const query = (service?: string) => (service === undefined ? '' : `service=${service}`);

  it.each(paths)('%s /%s is 404 (service: %s)', async (method, path, service) => {
    const url = `${gitPath}/${path}?${query(service)}`;
    for (const one of [url, `${gitPath}/${path}/git-upload-pack?${query(service)}`]) {
      const answer = await send(method, one);
      // 405 for a path that other methods have.
      expect([403, 404, 405]).toContain(answer.status);
    }
    expect(startedSince()).toBe(0);
  });

  it('although git itself answers the dumb protocol, and accepts pushes where they are enabled', () => {
    const directory = join(target.instance.directory, 'plain.git');
    source.git(['clone', '-q', '--bare', '.', directory]);
    source.git(['--git-dir', directory, 'config', 'http.receivepack', 'true']);
    const backend = (path: string, service?: string) =>
      execFileSync('git', ['http-backend'], {
        env: {
          PATH: process.env.PATH,
          GIT_PROJECT_ROOT: target.instance.directory,
          GIT_HTTP_EXPORT_ALL: '1',
          REQUEST_METHOD: 'GET',
          PATH_INFO: `/plain.git/${path}`,
          QUERY_STRING: query(service),
        },
      }).toString('latin1');
    expect(backend('HEAD')).toContain('ref: refs/heads/main');
    expect(backend(source.secret.replace(/^../, 'objects/$&/'))).toContain('x-git-loose-object');
    expect(backend('info/refs')).toContain(`${source.secret}\trefs/heads/secret`);
    expect(backend('info/refs', 'git-receive-pack')).toContain('report-status');
  });
});
