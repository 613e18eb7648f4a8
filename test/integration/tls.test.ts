import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { copyFileSync, readFileSync, rmSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { openHttp } from '../../packages/executor/src/uplink/http.ts';
import { openQueue } from '../../packages/executor/src/uplink/queue.ts';
import { routeSchema, applyRoute } from '../../packages/executor/src/uplink/network-route.ts';
import { openUploadProxy } from '../../packages/executor/src/upload/upload-proxy.ts';
import type { Connection } from '../../packages/instance/src/db/connect.ts';
import { startTestServer, type TestServer } from '../../packages/instance/src/db/testing.ts';
import { startTestInstance, type TestInstance } from '../../packages/instance/src/testing/instance.ts';
import { type Authority, type CertificateFiles, makeAuthority } from './certificates.ts';
import { ConnectProxy } from './proxy.ts';

/** A real instance and the uplink of an executor, with certificates and proxies as admins have them. */
let server: TestServer;
let directory: string;
let authority: Authority;
let good: CertificateFiles;
let connection: Connection;

beforeAll(async () => {
  server = await startTestServer();
  directory = await mkdtemp(join(tmpdir(), 'fumehood-tls-'));
  authority = makeAuthority(directory, 'ours');
  good = authority.issue('good', ['fumehood.test', 'localhost']);
});
afterAll(async () => {
  await server.stop();
  await rm(directory, { recursive: true });
});
beforeEach(async () => {
  connection = await server.clone();
});

let instance: TestInstance | null = null;
afterEach(async () => {
  await instance?.stop();
  instance = null;
});
async function start(files: CertificateFiles = good, more: object = {}): Promise<TestInstance> {
  const tls = { address: '127.0.0.1', port: 0, ...files, ...more };
  instance = await startTestInstance(connection, { tls });
  return instance;
}

/** The certificate that a new connection is shown. */
async function shown({ tlsPort }: TestInstance): Promise<string> {
  const socket = connect({ host: '127.0.0.1', port: tlsPort ?? 0, rejectUnauthorized: false });
  await once(socket, 'secureConnect');
  const fingerprint = socket.getPeerX509Certificate()?.fingerprint256 ?? '';
  socket.destroy();
  return fingerprint;
}
const fingerprint = ({ certificateFile }: CertificateFiles) =>
  new X509Certificate(readFileSync(certificateFile)).fingerprint256;

/** A request over TLS to the instance, whoever vouches for it, under a name. */
function askSecurely({ tlsPort, accessToken }: TestInstance, host: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const headers = { authorization: `token ${accessToken}`, host };
    const to = { host: '127.0.0.1', port: tlsPort, path: '/api/status', rejectUnauthorized: false, headers };
    request(to, (answer) => resolve(answer.resume().statusCode))
      .on('error', reject)
      .end();
  });
}

describe('an instance with a certificate', () => {
  test('answers over TLS as it does on loopback, to the names that it has', async () => {
    const running = await start();
    expect(await askSecurely(running, 'fumehood.test')).toBe(200);
    expect(await askSecurely(running, `fumehood.test:${running.tlsPort}`)).toBe(200);
    expect(await askSecurely(running, 'other.test')).toBe(421);
    expect((await running.api('GET', '/api/status')).status).toBe(200);
  });

  test('speaks nothing but TLS there', async () => {
    const { tlsPort } = await start();
    await expect(fetch(`http://127.0.0.1:${tlsPort}/api/status`)).rejects.toThrow();
  });

  test('listens on the address that it was given, and no other', async () => {
    const { tlsPort } = await start(good, { address: '127.0.0.9' });
    const reach = async (host: string) => {
      const socket = connect({ host, port: tlsPort ?? 0, rejectUnauthorized: false });
      return await once(socket, 'secureConnect').finally(() => socket.destroy());
    };
    await reach('127.0.0.9');
    await expect(reach('127.0.0.1')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });

  test('takes what replaces the files without a restart, and keeps the old when that is no pair', async () => {
    const files = authority.issue('renewed', ['fumehood.test']);
    const running = await start(files);
    const first = fingerprint(files);
    expect(await shown(running)).toBe(first);
    const next = authority.issue('next', ['fumehood.test']);
    copyFileSync(next.keyFile, files.keyFile); // the key alone is no pair
    await new Promise((resolve) => setTimeout(resolve, 6_000));
    expect(await shown(running)).toBe(first);
    copyFileSync(next.certificateFile, files.certificateFile);
    await expect.poll(() => shown(running), { timeout: 60_000 }).toBe(fingerprint(next));
    rmSync(files.certificateFile);
    await new Promise((resolve) => setTimeout(resolve, 6_000));
    expect(await shown(running)).toBe(fingerprint(next));
  });

  test.each<[string, () => CertificateFiles, string, string]>([
    ['is not there', () => ({ ...good, certificateFile: '/nonexistent.pem' }), '/nonexistent.pem', 'ENOENT'],
    ['is none', () => ({ ...good, certificateFile: good.keyFile }), 'good.key', ''],
    [
      'has another key',
      () => ({ ...good, keyFile: authority.issue('b', ['b']).keyFile }),
      'b.key',
      'not the key',
    ],
    ['has a key that is none', () => ({ ...good, keyFile: good.certificateFile }), 'good.pem', ''],
  ])('that %s does not start, and says which file it is', async (_, files, file, why) => {
    const starting = start(files());
    await expect(starting).rejects.toMatchObject({ code: 'tls_unusable' });
    await expect(starting).rejects.toThrow(file);
    await expect(starting).rejects.toThrow(why);
  });

  test('whose port is taken does not start, and says so', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const { port } = taken.address() as AddressInfo;
    await expect(start(good, { port })).rejects.toMatchObject({
      code: 'listen_failed',
      message: expect.stringContaining(`port ${port}`) as string,
    });
    taken.close();
  });
});

describe("an executor's way to its instance", () => {
  let leave = () => {};
  afterEach(() => {
    leave();
    leave = () => {};
  });
  const take = async (url: string, route: object = {}) => {
    leave = await applyRoute(url, routeSchema.parse(route));
  };
  const urlOf = ({ tlsPort }: TestInstance, host = 'localhost') => `https://${host}:${tlsPort}`;
  /** A heartbeat. */
  const beat = async ({ credential }: TestInstance, url: string) => {
    const identity = { name: 'e1', version: '1', tiers: [], arch: 'x64' as const, labels: [] };
    const secret = { secret: credential, renew: async () => false };
    const queue = openQueue(openHttp(url), { ...identity, credential: secret });
    return await queue.heartbeat(['runs'], [], AbortSignal.timeout(30_000));
  };
  const refused = async (running: TestInstance, url: string, why: string) => {
    await expect(beat(running, url)).rejects.toMatchObject({
      code: 'instance_unreachable',
      message: expect.stringContaining(why) as string,
      remedy: expect.stringContaining('route.caFile') as string,
    });
  };

  test.each(['http://fumehood.test', 'http://10.0.0.1:80', 'http://127.0.0.1.fumehood.test'])(
    'is not without TLS to another machine, like %s, unless that is wanted',
    async (url) => {
      await expect(take(url)).rejects.toMatchObject({ code: 'plain_http_refused' });
      await take(url, { plainHttp: true });
    },
  );

  test('is without TLS on the same machine', async () => {
    const running = await start();
    await take(running.url);
    expect(await beat(running, running.url)).toMatchObject({ knownIds: [], cancelIds: [] });
    for (const url of ['http://localhost:1', 'http://[::1]:1']) await take(url).then(() => leave());
  });

  test('is trusted by a CA of its own, and not without it, nor by another', async () => {
    const running = await start();
    await take(urlOf(running));
    await refused(running, urlOf(running), 'unable to verify');
    leave();
    await take(urlOf(running), { caFile: makeAuthority(directory, 'theirs').caFile });
    await refused(running, urlOf(running), 'unable to verify');
    leave();
    await take(urlOf(running), { caFile: authority.caFile });
    expect(await beat(running, urlOf(running))).toMatchObject({ knownIds: [], cancelIds: [] });
  });

  test('is not trusted under another name than the certificate’s', async () => {
    const running = await start();
    await take(urlOf(running), { caFile: authority.caFile });
    await refused(running, urlOf(running, '127.0.0.1'), 'altnames');
  });

  test('is not trusted once the certificate has expired', async () => {
    const running = await start(authority.issue('expired', ['localhost'], -1));
    await take(urlOf(running), { caFile: authority.caFile });
    await refused(running, urlOf(running), 'expired');
  });

  test('goes through a proxy, which sees whom it leads to and nothing else', async () => {
    await using proxy = await new ConnectProxy().start();
    const running = await start();
    const url = urlOf(running, 'fumehood.test');
    await take(url, { caFile: authority.caFile, proxy: { url: proxy.url } });
    expect(await beat(running, url)).toMatchObject({ knownIds: [], cancelIds: [] });
    expect(proxy.asked).toEqual([`fumehood.test:${running.tlsPort}`]);
  });

  test('goes around the proxy to the hosts that are excepted, and to this machine', async () => {
    await using proxy = await new ConnectProxy().start();
    const running = await start();
    await take(urlOf(running), { caFile: authority.caFile, proxy: { url: proxy.url, except: ['.test'] } });
    await beat(running, urlOf(running));
    await beat(running, running.url);
    await expect(beat(running, urlOf(running, 'fumehood.test'))).rejects.toThrow('fumehood.test');
    expect(proxy.asked).toEqual([]);
  });

  test('that a proxy does not let it go is told, and tried again later', async () => {
    await using proxy = await new ConnectProxy().start();
    const running = await start();
    const url = urlOf(running, 'fumehood.test');
    proxy.allows = false;
    await take(url, { caFile: authority.caFile, proxy: { url: proxy.url } });
    await expect(beat(running, url)).rejects.toMatchObject({
      code: 'instance_unreachable',
      message: expect.stringContaining('403') as string,
    });
    proxy.allows = true;
    expect(await beat(running, url)).toMatchObject({ knownIds: [], cancelIds: [] });
  });

  test('is the same for an upload', async () => {
    await using proxy = await new ConnectProxy().start();
    const running = await start();
    const url = urlOf(running, 'fumehood.test');
    await take(url, { caFile: authority.caFile, proxy: { url: proxy.url } });
    const socketPath = join(directory, 'upload.sock');
    const uploads = await openUploadProxy(socketPath, url, {}, () => {});
    const headers = { authorization: 'Bearer 0123' };
    const asked = httpRequest({ socketPath, path: '/.executors/scip/upload', method: 'HEAD', headers }).end();
    const [answer] = (await once(asked, 'response')) as [IncomingMessage];
    expect(answer.resume().statusCode).toBe(401); // the instance's own
    expect(proxy.asked).toEqual([`fumehood.test:${running.tlsPort}`]);
    await uploads.close();
  });

  test.each([
    ['is not there', '/nonexistent.pem'],
    ['is none', import.meta.filename],
  ])('with a CA that %s is refused, with the name of the file', async (_, caFile) => {
    const taking = take('https://fumehood.test', { caFile });
    await expect(taking).rejects.toMatchObject({ code: 'ca_unusable' });
    await expect(taking).rejects.toThrow(caFile);
  });

  test('has no password of a proxy in its configuration', () => {
    expect(routeSchema.safeParse({ proxy: { url: 'http://me:secret@proxy.test' } }).success).toBe(false);
    expect(routeSchema.safeParse({ proxy: { url: 'http://proxy.test:3128' } }).success).toBe(true);
  });
});
