import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { localSpawn, type Spawn, type SpawnRequest } from '@glovebox/base';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openArchive } from '../archive.ts';
import { flattenImage } from '../flatten.ts';
import {
  digestOf,
  file,
  json,
  layerOf,
  layoutFiles,
  manifestOf,
  treeOf,
  withManifest,
  writeLayout,
} from '../testing/image.ts';
import { basic, FakeRegistry, password, realRegistry, refuse, types, user } from '../testing/registry.ts';
import { type FetchDeps, fetchImage } from './fetch.ts';
import { type Registries, registriesSchema } from './registries.ts';

const isRoot = process.getuid?.() === 0;
const profile = localSpawn(isRoot ? { uid: 1_900_000_002, gid: process.getgid?.() ?? 0 } : null);
const { signal } = new AbortController();

let root: string;
let node: string;
let registry: FakeRegistry;
/** What skopeo was started with, and what it was told on stdin is not in it. */
let started: SpawnRequest[];
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'glovebox-registry-'));
  chmodSync(root, 0o711);
  node = join(root, 'node');
  copyFileSync(process.execPath, node);
});
afterAll(() => rm(root, { recursive: true, force: true }));
beforeEach(async () => {
  started = [];
  registry = await FakeRegistry.start();
  for (const name of ['cache', 'work']) {
    mkdirSync(join(root, name), { mode: 0o711 });
    chmodSync(join(root, name), 0o711);
  }
});
afterEach(async () => {
  await registry.stop();
  expect(readdirSync(join(root, 'work'))).toEqual([]);
  expect(readdirSync(join(root, 'cache')).filter((name) => name.endsWith('.partial'))).toEqual([]);
  for (const name of ['cache', 'work']) await rm(join(root, name), { recursive: true });
});

let alive = 0;
const spawn: Spawn = async (request) => {
  started.push(request);
  alive += 1;
  const process = await profile(request);
  void process.exited.then(() => (alive -= 1));
  return process;
};
const insecure = (place = registry.place) => registriesSchema.parse([{ location: place, insecure: true }]);
const depsFor = (registries: Registries, more: Partial<FetchDeps> = {}): FetchDeps => ({
  spawn,
  node: { source: node, target: '/opt/glovebox/node' },
  registries,
  work: join(root, 'work'),
  cache: join(root, 'cache'),
  ...more,
});
const fetchIt = (reference: string, more: Partial<FetchDeps> = {}) =>
  fetchImage(depsFor(insecure(), more), `${registry.place}/${reference}`, {}, signal);

const layers = [layerOf(file('a', 'first')), layerOf(file('b', 'second'))];
const image = (config: object = { Cmd: ['c'] }) => layoutFiles(layers, { config, packed: gzipSync });
const archived = async (path: string) => {
  const archive = await openArchive(path);
  return { config: archive.config, tree: await treeOf(flattenImage(archive).tar) };
};
const refused = (code: string, why: string) => ({ code, message: expect.stringContaining(why) as string });

describe('an image of a registry', () => {
  it('is what was put there, under the digest of its manifest', async () => {
    const digest = registry.put('group/tool', '1.0', image());
    const fetched = await fetchIt('group/tool:1.0');
    expect(fetched.digest).toBe(digest);
    const { config, tree } = await archived(fetched.file);
    expect(config.cmd).toEqual(['c']);
    expect(Object.keys(tree)).toEqual(['a', 'b']);
  });

  it('is fetched once; the registry is asked each time, and a tag that moved is another image', async () => {
    registry.put('tool', 'latest', image());
    const one = await fetchIt('tool');
    const blobs = registry.blobRequests();
    expect(await fetchIt('tool')).toEqual(one);
    expect(registry.blobRequests()).toBe(blobs);
    const moved = registry.put('tool', 'latest', image({ Cmd: ['other'] }));
    const other = await fetchIt('tool');
    expect(other.digest).toBe(moved);
    expect((await archived(other.file)).config.cmd).toEqual(['other']);
  });

  it('is fetched once for all who want it at the same time', async () => {
    registry.put('tool', 'latest', image());
    const fetched = await Promise.all([1, 2, 3].map(() => fetchIt('tool')));
    expect(new Set(fetched.map((one) => one.file)).size).toBe(1);
    expect(started.filter(({ label }) => label === 'skopeo copy')).toHaveLength(1);
  });

  it('of a digest is that one, whatever its tag is now', async () => {
    const digest = registry.put('tool', '1', image());
    registry.put('tool', '1', image({ Cmd: ['other'] }));
    expect((await fetchIt(`tool:1@${digest}`)).digest).toBe(digest);
  });

  it('is the variant for linux/amd64 of a list', async () => {
    const digest = registry.put('tool', 'amd64', image());
    const entry = (architecture: string, of: string) => ({
      ...{
        mediaType: types.manifest,
        digest: of,
        size: registry.manifests.get(`tool:${of}`)?.bytes.length ?? 9,
      },
      platform: { os: 'linux', architecture },
    });
    const list = (...manifests: object[]) => json({ schemaVersion: 2, mediaType: types.index, manifests });
    const other = entry('arm64', `sha256:${'0'.repeat(64)}`);
    registry.putManifest('tool', 'all', types.index, list(other, entry('amd64', digest)));
    expect((await fetchIt('tool:all')).digest).toBe(digest);
    registry.putManifest('tool', 'arm', types.index, list(other));
    await expect(fetchIt('tool:arm')).rejects.toMatchObject(
      refused('image_invalid', 'no variant for linux/amd64'),
    );
  });

  it('comes from a mirror that is asked before its registry', async () => {
    const digest = registry.put('tool', '1', image());
    const registries = registriesSchema.parse([
      { location: 'registry.test:5000', mirrors: [{ location: registry.place, insecure: true }] },
    ]);
    const fetched = await fetchImage(depsFor(registries), 'registry.test:5000/tool:1', {}, signal);
    expect(fetched.digest).toBe(digest);
  });

  it('comes by name from where the name leads: the first address that answers', async () => {
    const digest = registry.put('tool', '1', image());
    const place = `registry.test:${registry.place.split(':')[1]}`;
    const resolve = (host: string) =>
      Promise.resolve(host === 'registry.test' ? ['127.0.0.2', '127.0.0.1'] : []);
    const fetched = await fetchImage(depsFor(insecure(place), { resolve }), `${place}/tool:1`, {}, signal);
    expect(fetched.digest).toBe(digest);
  });
});

describe('a real registry with passwords', () => {
  let real: Awaited<ReturnType<typeof realRegistry>>;
  let work: string;
  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'glovebox-real-registry-'));
    real = await realRegistry(work);
    const auths = join(work, 'auth.json');
    writeFileSync(auths, JSON.stringify({ auths: { [real.place]: { auth: basic } } }));
    writeLayout(join(work, 'layout'), image());
    const from = `oci:${join(work, 'layout')}`;
    const to = `docker://${real.place}/group/tool:1`;
    const policy = ['--insecure-policy', 'copy', '--preserve-digests', '--dest-tls-verify=false'];
    execFileSync('skopeo', [...policy, '--authfile', auths, from, to], { stdio: 'pipe' });
  });
  afterAll(async () => {
    await real.stop();
    await rm(work, { recursive: true });
  });
  const get = (auth: string | null, reference = 'group/tool:1') =>
    fetchImage(
      depsFor(insecure(real.place)),
      `${real.place}/${reference}`,
      auth === null ? {} : { [real.place]: { auth } },
      signal,
    );

  it('gives its image out for the right one, which nobody else on the machine can read', async () => {
    const fetched = await get(basic);
    expect(fetched.digest).toBe(manifestOf(image()).digest);
    expect(Object.keys((await archived(fetched.file)).tree)).toEqual(['a', 'b']);
    const visible = JSON.stringify(started);
    for (const secret of [basic, password]) expect(visible).not.toContain(secret);
  });

  it('gives it to nobody else, cached or not, and what is said of it holds no credential', async () => {
    await get(basic);
    const wrong = Buffer.from(`${user}:another-secret`).toString('base64');
    for (const auth of [null, wrong]) {
      const error = (await get(auth).catch((caught: unknown) => caught)) as Error;
      expect(error).toMatchObject({ code: 'registry_unauthorized' });
      for (const secret of [wrong, 'another-secret'])
        expect(JSON.stringify(error) + error.message).not.toContain(secret);
    }
  });

  it('says what it does not have', async () => {
    for (const missing of ['group/tool:2', 'nothing:1'])
      await expect(get(basic, missing)).rejects.toMatchObject({ code: 'image_not_found' });
  });

  it('answers as the fake one does', async () => {
    const files = image();
    const digest = registry.put('group/tool', '1', files);
    registry.basic = basic;
    const blob = digestOf(gzipSync(layers[0] as Buffer));
    const told = async (place: string, path: string, authorization: string, method: string) => {
      const answer = await fetch(`http://${place}/v2/${path}`, {
        method,
        headers: { authorization, accept: types.manifest },
      });
      const text = await answer.text();
      const code = answer.ok ? null : (/"code":"(\w+)"/.exec(text)?.[1] ?? null);
      const header = (name: string) => (answer.ok ? answer.headers.get(name) : null);
      const length = method === 'GET' && answer.ok ? text.length : 0;
      return { status: answer.status, code, length, digest: header('docker-content-digest') };
    };
    const paths = [
      'manifests/1',
      `manifests/${digest}`,
      `blobs/${blob}`,
      'manifests/2',
      `blobs/${digestOf(json(1))}`,
    ];
    for (const path of paths)
      for (const method of ['GET', 'HEAD'])
        for (const auth of [`Basic ${basic}`, 'Basic eDp5']) {
          const [one, other] = await Promise.all(
            [registry.place, real.place].map((place) => told(place, `group/tool/${path}`, auth, method)),
          );
          expect(one, `${method} ${path}`).toEqual(other);
        }
  });
});

describe('is refused before a layer is fetched', () => {
  const put = (change: Parameters<typeof withManifest>[1]) =>
    registry.put('tool', '1', withManifest(image(), change));

  it.each<[string, () => void, string, string]>([
    [
      'an image of more bytes than are taken',
      () => put((one) => Object.assign(one.layers[0] as object, { size: 2 ** 40 })),
      'image_too_big',
      'at most 17179869184 are taken',
    ],
    [
      'one with 501 layers',
      () => put((one) => Object.assign(one, { layers: Array(501).fill(one.layers[0]) })),
      'image_invalid',
      'more than 500 layers',
    ],
    [
      'one with a configuration of 5 MiB',
      () => put((one) => Object.assign(one.config, { size: 5 * 2 ** 20 })),
      'image_too_big',
      'configuration',
    ],
    [
      'one for another machine',
      () => registry.put('tool', '1', layoutFiles(layers, { architecture: 'arm64' })),
      'image_invalid',
      'linux/arm64',
    ],
    [
      'what is no image',
      () => put((one) => Object.assign(one.layers[0] as object, { mediaType: 'text/html' })),
      'image_invalid',
      'text/html',
    ],
    [
      'what is no manifest',
      () => registry.putManifest('tool', '1', types.manifest, json([])),
      'image_invalid',
      '',
    ],
  ])('%s', async (_what, prepare, code, why) => {
    prepare();
    await expect(fetchIt('tool:1')).rejects.toMatchObject(refused(code, why));
    expect(started.filter(({ label }) => label === 'skopeo copy')).toEqual([]);
    expect(readdirSync(join(root, 'cache'))).toEqual([]);
  });

  it('a manifest of 64 MiB', async () => {
    registry.putManifest('tool', '1', types.manifest, Buffer.alloc(64 * 2 ** 20, ' '));
    await expect(fetchIt('tool:1')).rejects.toMatchObject(refused('image_too_big', 'manifest'));
    expect(registry.blobRequests()).toBe(0);
  });
});

describe('a registry that lies', () => {
  it.each<[string, (bytes: Buffer) => Buffer]>([
    ['by another byte', (bytes) => Buffer.concat([bytes.subarray(0, -1), Buffer.from([7])])],
    ['by less', (bytes) => bytes.subarray(0, -1)],
  ])('about a layer, %s, is found out, and nothing is kept', async (_how, change) => {
    registry.put('tool', '1', image());
    const digest = digestOf(gzipSync(layers[0] as Buffer));
    registry.blobs.set(digest, change(registry.blobs.get(digest) as Buffer));
    await expect(fetchIt('tool:1')).rejects.toMatchObject({ code: 'image_invalid' });
    expect(readdirSync(join(root, 'cache'))).toEqual([]);
  });

  it('about the size of a layer, and sends it without end, is cut off', async () => {
    registry.put('tool', '1', image());
    const digest = digestOf(gzipSync(layers[0] as Buffer));
    let sent = 0;
    registry.intercept = (request, response) => {
      if (!request.url?.endsWith(digest)) return false;
      response.writeHead(200);
      const more = () => {
        while (!response.destroyed && response.write(Buffer.alloc(65_536))) sent += 65_536;
      };
      response.on('drain', more);
      more();
      return true;
    };
    await expect(fetchIt('tool:1')).rejects.toMatchObject({ code: 'image_too_big' });
    expect(sent).toBeLessThan(64 * 2 ** 20);
  });

  it('about what a digest names is found out', async () => {
    const wanted = registry.put('tool', '1', image());
    registry.put('tool', '2', image({ Cmd: ['other'] }));
    registry.manifests.set(`tool:${wanted}`, registry.manifests.get('tool:2') as never);
    await expect(fetchIt(`tool@${wanted}`)).rejects.toMatchObject({ code: 'image_invalid' });
  });

  it('with words cannot reach the terminal, nor have a secret repeated', async () => {
    registry.intercept = (request, response) => {
      if (!request.url?.includes('/manifests/')) return false;
      refuse(
        response,
        400,
        'DENIED',
        `\u001b[31m ${request.headers.authorization ?? basic} ${'x'.repeat(3_000)} ${password}`,
      );
      return true;
    };
    const error = (await fetchImage(
      depsFor(insecure()),
      `${registry.place}/tool:1`,
      { [registry.place]: { auth: basic } },
      signal,
    ).catch((caught: unknown) => caught)) as Error;
    expect(error.message.length).toBeLessThan(500);
    expect(error.message).not.toContain('\u001b');
    for (const secret of [basic, password]) expect(error.message).not.toContain(secret);
  });
});

describe('a registry that does not answer', () => {
  it('in time is given up, and everything that asked it is dead', async () => {
    registry.put('tool', '1', image());
    registry.intercept = ({ url = '' }) => url.endsWith(digestOf(gzipSync(layers[0] as Buffer)));
    await expect(fetchIt('tool:1', { copyMs: 2_000 })).rejects.toMatchObject(
      refused('registry_unreachable', 'not done after 2 s'),
    );
    expect(alive).toBe(0);
  });

  it('is let go of when nobody waits any more, and not before', async () => {
    registry.put('tool', '1', image());
    let release = () => {};
    const asked = new Promise<void>((resolve) => {
      registry.intercept = (request, response) => {
        if (!request.url?.includes('/blobs/')) return false;
        resolve();
        const answer = registry.blobs.get(request.url.split('/').at(-1) ?? '');
        release = () => void response.end(answer);
        return true;
      };
    });
    const one = new AbortController();
    const other = new AbortController();
    const get = ({ signal: stopped }: AbortController) =>
      fetchImage(depsFor(insecure()), `${registry.place}/tool:1`, {}, stopped);
    const [first, second] = [get(one), get(other)].map((promise) =>
      promise.catch((caught: unknown) => caught),
    );
    await asked;
    one.abort(new Error('the first gave up'));
    expect(await first).toMatchObject({ message: 'the first gave up' });
    other.abort(new Error('the second gave up'));
    expect(await second).toMatchObject({ message: 'the second gave up' });
    release();
    expect(readdirSync(join(root, 'cache'))).toEqual([]);
    expect(alive).toBe(0);
  });

  it('at all is unreachable', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const place = `127.0.0.1:${(server.address() as { port: number }).port}`;
    await new Promise((resolve) => server.close(resolve));
    const get = fetchImage(depsFor(insecure(place)), `${place}/tool:1`, {}, signal);
    await expect(get).rejects.toMatchObject({ code: 'registry_unreachable' });
  });
});

describe('what is not public', () => {
  const resolve = () => Promise.resolve(['127.0.0.1']);

  it('is not reached by a reference, unless the operator named it', async () => {
    const place = `registry.test:${registry.place.split(':')[1]}`;
    registry.put('tool', '1', image());
    const get = fetchImage(depsFor([], { resolve }), `${place}/tool:1`, {}, signal);
    await expect(get).rejects.toMatchObject(refused('registry_not_public', place));
    expect(registry.requests).toEqual([]);
  });

  it('is not reached by where a registry sends one on to', async () => {
    registry.put('tool', '1', image());
    const other = await FakeRegistry.start();
    const target = `elsewhere.test:${other.place.split(':')[1]}`;
    registry.intercept = (request, response) => {
      if (!request.url?.includes('/blobs/')) return false;
      response.writeHead(307, { location: `http://${target}${request.url}` }).end();
      return true;
    };
    await expect(fetchIt('tool:1', { resolve })).rejects.toMatchObject(
      refused('registry_not_public', target),
    );
    expect(other.requests).toEqual([]);
    await other.stop();
  });

  it('is not spoken to without TLS only because a reference names it', async () => {
    registry.put('tool', '1', image());
    const registries = registriesSchema.parse([{ location: registry.place }]);
    const get = fetchImage(depsFor(registries), `${registry.place}/tool:1`, {}, signal);
    await expect(get).rejects.toMatchObject({ code: 'registry_unreachable' });
    expect(registry.requests).toEqual([]);
  });
});
