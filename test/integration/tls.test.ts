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
import { applyRoute, routeSchema } from '../../packages/executor/src/uplink/network-route.ts';
import { openQueue } from '../../packages/executor/src/uplink/queue.ts';
import { openUploadProxy } from '../../packages/executor/src/upload/upload-proxy.ts';
import type { Connection } from '../../packages/instance/src/config.ts';
import { openTestServer, type TestServer } from '../../packages/instance/src/db/testing.ts';
import { startTestInstance, type TestInstance } from '../../packages/instance/src/testing/instance.ts';
import { long } from '../long.ts';
import { type Authority, type CertificateFiles, makeAuthority } from './certificates.ts';
import { ConnectProxy } from './proxy.ts';

/** Tests a real instance and the uplink of an executor with the certificates and proxies that admins use. */
let server: TestServer;
let directory: string;
let authority: Authority;
let validFiles: CertificateFiles;
let connection: Connection;

beforeAll(async () => {
  server = openTestServer();
  directory = await mkdtemp(join(tmpdir(), 'fumehood-tls-'));
  authority = makeAuthority(directory, 'ours');
  validFiles = authority.issue('good', ['fumehood.test', 'localhost']);
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
async function start(files: CertificateFiles = validFiles, more: object = {}): Promise<TestInstance> {
  const tls = { address: '127.0.0.1', port: 0, ...files, ...more };
  instance = await startTestInstance(connection, { tls });
  return instance;
}

/** Returns the fingerprint of the certificate that a new connection gets. */
async function servedFingerprint({ tlsPort }: TestInstance): Promise<string> {
  const socket = connect({ host: '127.0.0.1', port: tlsPort ?? 0, rejectUnauthorized: false });
  await once(socket, 'secureConnect');
  const fingerprint = socket.getPeerX509Certificate()?.fingerprint256 ?? '';
  socket.destroy();
  return fingerprint;
}
const fingerprint = ({ certificateFile }: CertificateFiles) =>
  new X509Certificate(readFileSync(certificateFile)).fingerprint256;

/** Sends a request over TLS to the instance under a name, without checking the certificate. */
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
  test('answers over TLS as on loopback, under its own names', async () => {
    const running = await start();
    expect(await askSecurely(running, 'fumehood.test')).toBe(200);
    expect(await askSecurely(running, `fumehood.test:${running.tlsPort}`)).toBe(200);
    expect(await askSecurely(running, 'other.test')).toBe(421);
    expect((await running.api('GET', '/api/status')).status).toBe(200);
  });

  test('speaks only TLS on that port', async () => {
    const { tlsPort } = await start();
    await expect(fetch(`http://127.0.0.1:${tlsPort}/api/status`)).rejects.toThrow();
  });

  test('listens only on the given address', async () => {
    const { tlsPort } = await start(validFiles, { address: '127.0.0.9' });
    const reach = async (host: string) => {
      const socket = connect({ host, port: tlsPort ?? 0, rejectUnauthorized: false });
      return await once(socket, 'secureConnect').finally(() => socket.destroy());
    };
    await reach('127.0.0.9');
    await expect(reach('127.0.0.1')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });

  test.runIf(long)(
    'uses replaced files without a restart, and keeps the old pair when they do not match',
    async () => {
      const files = authority.issue('renewed', ['fumehood.test']);
      const running = await start(files);
      const first = fingerprint(files);
      expect(await servedFingerprint(running)).toBe(first);
      const next = authority.issue('next', ['fumehood.test']);
      copyFileSync(next.keyFile, files.keyFile); // the new key does not match the old certificate
      await new Promise((resolve) => setTimeout(resolve, 6_000));
      expect(await servedFingerprint(running)).toBe(first);
      copyFileSync(next.certificateFile, files.certificateFile);
      await expect.poll(() => servedFingerprint(running), { timeout: 60_000 }).toBe(fingerprint(next));
      rmSync(files.certificateFile);
      await new Promise((resolve) => setTimeout(resolve, 6_000));
      expect(await servedFingerprint(running)).toBe(fingerprint(next));
    },
  );

  test.each<[string, () => CertificateFiles, string, string]>([
    [
      'does not exist',
      () => ({ ...validFiles, certificateFile: '/nonexistent.pem' }),
      '/nonexistent.pem',
      'ENOENT',
    ],
    ['is malformed', () => ({ ...validFiles, certificateFile: validFiles.keyFile }), 'good.key', ''],
    [
      'has another key',
      () => ({ ...validFiles, keyFile: authority.issue('b', ['b']).keyFile }),
      'b.key',
      'not the key',
    ],
    ['has a malformed key', () => ({ ...validFiles, keyFile: validFiles.certificateFile }), 'good.pem', ''],
  ])('that %s does not start, and the error names the file', async (_, files, file, why) => {
    const starting = start(files());
    await expect(starting).rejects.toMatchObject({ code: 'tls_unusable' });
    await expect(starting).rejects.toThrow(file);
    await expect(starting).rejects.toThrow(why);
  });

  test('does not start when its port is taken, and says so', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const { port } = taken.address() as AddressInfo;
    await expect(start(validFiles, { port })).rejects.toMatchObject({
      code: 'listen_failed',
      message: expect.stringContaining(`port ${port}`) as string,
    });
    taken.close();
  });
});

describe("an executor's connection to its instance", () => {
  let undoRoute = () => {};
  afterEach(() => {
    undoRoute();
    undoRoute = () => {};
  });
  const applyTestRoute = async (url: string, route: object = {}) => {
    undoRoute = await applyRoute(url, routeSchema.parse(route));
  };
  const urlOf = ({ tlsPort }: TestInstance, host = 'localhost') => `https://${host}:${tlsPort}`;
  /** Sends a heartbeat. */
  const heartbeat = async ({ credential }: TestInstance, url: string) => {
    const identity = {
      name: 'e1',
      version: '1',
      tiers: [],
      arch: 'x64' as const,
      labels: [],
      network: false,
      machine: 'here',
    };
    const secret = { secret: credential, renew: async () => false };
    const queue = openQueue(openHttp(url), { ...identity, credential: secret });
    return await queue.heartbeat(['runs'], [], AbortSignal.timeout(30_000));
  };
  const expectRefused = async (running: TestInstance, url: string, why: string) => {
    await expect(heartbeat(running, url)).rejects.toMatchObject({
      code: 'instance_unreachable',
      message: expect.stringContaining(why) as string,
      remedy: expect.stringContaining('route.caFile') as string,
    });
  };

  test.each(['http://fumehood.test', 'http://10.0.0.1:80', 'http://127.0.0.1:1', 'http://localhost:1'])(
    'is refused without TLS, as to %s, unless the configuration allows it',
    async (url) => {
      await expect(applyTestRoute(url)).rejects.toMatchObject({ code: 'plain_http_refused' });
      await applyTestRoute(url, { plainHttp: true });
    },
  );

  test('works without TLS on the same machine, over the socket of the instance', async () => {
    const running = await start();
    const url = `unix:${running.socket}`;
    await applyTestRoute(url);
    expect(await heartbeat(running, url)).toMatchObject({ knownIds: [], cancelIds: [] });
  });

  test('is trusted with the configured CA, and not without it or with another one', async () => {
    const running = await start();
    await applyTestRoute(urlOf(running));
    await expectRefused(running, urlOf(running), 'unable to verify');
    undoRoute();
    await applyTestRoute(urlOf(running), { caFile: makeAuthority(directory, 'theirs').caFile });
    await expectRefused(running, urlOf(running), 'unable to verify');
    undoRoute();
    await applyTestRoute(urlOf(running), { caFile: authority.caFile });
    expect(await heartbeat(running, urlOf(running))).toMatchObject({ knownIds: [], cancelIds: [] });
  });

  test('is refused under a name that is not in the certificate', async () => {
    const running = await start();
    await applyTestRoute(urlOf(running), { caFile: authority.caFile });
    await expectRefused(running, urlOf(running, '127.0.0.1'), 'altnames');
  });

  test('is refused once the certificate has expired', async () => {
    const running = await start(authority.issue('expired', ['localhost'], -1));
    await applyTestRoute(urlOf(running), { caFile: authority.caFile });
    await expectRefused(running, urlOf(running), 'expired');
  });

  test('goes through a proxy, which sees only the target', async () => {
    await using proxy = await new ConnectProxy().start();
    const running = await start();
    const url = urlOf(running, 'fumehood.test');
    await applyTestRoute(url, { caFile: authority.caFile, proxy: { url: proxy.url } });
    expect(await heartbeat(running, url)).toMatchObject({ knownIds: [], cancelIds: [] });
    expect(proxy.targets).toEqual([`fumehood.test:${running.tlsPort}`]);
  });

  test('goes around the proxy for excepted hosts and for this machine', async () => {
    await using proxy = await new ConnectProxy().start();
    const running = await start();
    await applyTestRoute(urlOf(running), {
      caFile: authority.caFile,
      proxy: { url: proxy.url, except: ['.test'] },
    });
    await heartbeat(running, urlOf(running));
    await heartbeat(running, running.url);
    await expect(heartbeat(running, urlOf(running, 'fumehood.test'))).rejects.toThrow('fumehood.test');
    expect(proxy.targets).toEqual([]);
  });

  test('reports a refusal by the proxy, and works when the proxy allows it later', async () => {
    await using proxy = await new ConnectProxy().start();
    const running = await start();
    const url = urlOf(running, 'fumehood.test');
    proxy.allows = false;
    await applyTestRoute(url, { caFile: authority.caFile, proxy: { url: proxy.url } });
    await expect(heartbeat(running, url)).rejects.toMatchObject({
      code: 'instance_unreachable',
      message: expect.stringContaining('403') as string,
    });
    proxy.allows = true;
    expect(await heartbeat(running, url)).toMatchObject({ knownIds: [], cancelIds: [] });
  });

  test('uses the proxy for an upload, too', async () => {
    await using proxy = await new ConnectProxy().start();
    const running = await start();
    const url = urlOf(running, 'fumehood.test');
    await applyTestRoute(url, { caFile: authority.caFile, proxy: { url: proxy.url } });
    const socketPath = join(directory, 'upload.sock');
    const uploads = await openUploadProxy(socketPath, url, {}, () => {});
    const headers = { authorization: 'Bearer 0123' };
    const asked = httpRequest({ socketPath, path: '/.executors/scip/upload', method: 'HEAD', headers }).end();
    const [answer] = (await once(asked, 'response')) as [IncomingMessage];
    expect(answer.resume().statusCode).toBe(401); // the answer comes from the instance
    expect(proxy.targets).toEqual([`fumehood.test:${running.tlsPort}`]);
    await uploads.close();
  });

  test.each([
    ['does not exist', '/nonexistent.pem'],
    ['is malformed', import.meta.filename],
  ])('is refused with a CA that %s, and the error names the file', async (_, caFile) => {
    const applying = applyTestRoute('https://fumehood.test', { caFile });
    await expect(applying).rejects.toMatchObject({ code: 'ca_unusable' });
    await expect(applying).rejects.toThrow(caFile);
  });

  test('refuses a password of a proxy in its configuration', () => {
    expect(routeSchema.safeParse({ proxy: { url: 'http://me:secret@proxy.test' } }).success).toBe(false);
    expect(routeSchema.safeParse({ proxy: { url: 'http://proxy.test:3128' } }).success).toBe(true);
  });
});
