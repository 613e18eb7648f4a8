import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { digestOf } from '../digest.ts';
import { archived, Fetching, image, insecure, layers } from '../testing/fetching.ts';
import { file, json, layerOf, layoutFiles, manifestOf, writeLayout } from '../testing/image.ts';
import { basic, FakeRegistry, password, realRegistry, types, user } from '../testing/registry.ts';
import { fetchImage } from './fetch.ts';
import { type RegistryAuths, registriesSchema } from './registries.ts';

const { signal } = new AbortController();
let here: Fetching;
beforeAll(async () => {
  here = await Fetching.make();
});
afterAll(() => here.remove());
beforeEach(() => here.begin());
afterEach(() => here.end());

describe('an image of a registry', () => {
  it('is fetched with the digest of its manifest', async () => {
    const digest = here.registry.put('group/tool', '1.0', image());
    const fetched = await here.fetch('group/tool:1.0');
    expect(fetched.digest).toBe(digest);
    const { config, tree } = await archived(fetched.file);
    expect(config.cmd).toEqual(['c']);
    expect(Object.keys(tree)).toEqual(['a', 'b']);
  });

  it('is fetched once while the registry is asked every time; a moved tag gives the other image', async () => {
    here.registry.put('tool', 'latest', image());
    const one = await here.fetch('tool');
    const blobs = here.registry.blobRequests();
    expect(await here.fetch('tool')).toEqual(one);
    expect(here.registry.blobRequests()).toBe(blobs);
    const moved = here.registry.put('tool', 'latest', image({ Cmd: ['other'] }));
    const other = await here.fetch('tool');
    expect(other.digest).toBe(moved);
    expect((await archived(other.file)).config.cmd).toEqual(['other']);
  });

  it('that is cached costs one request for its manifest, also if the tag is that of an index with an attestation', async () => {
    const digest = here.registry.put('tool', 'amd64', image());
    const { bytes } = here.registry.manifests.get(`tool:${digest}`) as { bytes: Buffer };
    const entry = (of: string, platform: object, more: object = {}) => {
      return { mediaType: types.manifest, digest: of, size: bytes.length, platform, ...more };
    };
    const attestation = entry(
      `sha256:${'0'.repeat(64)}`,
      { os: 'unknown', architecture: 'unknown' },
      { annotations: { 'vnd.docker.reference.type': 'attestation-manifest' } },
    );
    const manifests = [attestation, entry(digest, { os: 'linux', architecture: 'amd64' })];
    here.registry.putManifest(
      'tool',
      '1',
      types.index,
      json({ schemaVersion: 2, mediaType: types.index, manifests }),
    );
    for (const tag of ['1', 'amd64']) {
      expect((await here.fetch(`tool:${tag}`)).digest).toBe(digest);
      here.registry.requests.length = 0;
      expect((await here.fetch(`tool:${tag}`)).digest).toBe(digest);
      const asked = here.registry.requests.filter((line) => !line.endsWith(' /v2/'));
      expect(asked).toEqual([`GET /v2/tool/manifests/${tag}`]);
    }
  });

  it('that is cached costs no request if it is named by its digest, for the same credentials alone', async () => {
    here.registry.basic = basic;
    const digest = here.registry.put('tool', '1', image());
    const { place } = here.registry;
    const get = (auths: RegistryAuths) =>
      fetchImage(here.depsFor(insecure(place)), `${place}/tool:1@${digest}`, auths, signal);
    const fetched = await get({ [place]: { auth: basic } });
    here.registry.requests.length = 0;
    expect(await get({ [place]: { auth: basic } })).toEqual(fetched);
    expect(here.registry.requests).toEqual([]);
    for (const auths of [{}, { [place]: { auth: Buffer.from('worker:other').toString('base64') } }])
      await expect(get(auths)).rejects.toMatchObject({ code: 'registry_unauthorized' });
  });

  it('is fetched once for concurrent callers', async () => {
    here.registry.put('tool', 'latest', image());
    const fetched = await Promise.all([1, 2, 3].map(() => here.fetch('tool')));
    expect(new Set(fetched.map((one) => one.file)).size).toBe(1);
    expect(here.started.filter(({ label }) => label === 'skopeo copy')).toHaveLength(1);
  });

  it('with a digest is the image of the digest, even if its tag has moved', async () => {
    const digest = here.registry.put('tool', '1', image());
    here.registry.put('tool', '1', image({ Cmd: ['other'] }));
    expect((await here.fetch(`tool:1@${digest}`)).digest).toBe(digest);
  });

  it('is the variant for linux/amd64 of an index', async () => {
    const digest = here.registry.put('tool', 'amd64', image());
    const entry = (architecture: string, of: string) => ({
      ...{
        mediaType: types.manifest,
        digest: of,
        size: here.registry.manifests.get(`tool:${of}`)?.bytes.length ?? 9,
      },
      platform: { os: 'linux', architecture },
    });
    const list = (...manifests: object[]) => json({ schemaVersion: 2, mediaType: types.index, manifests });
    const other = entry('arm64', `sha256:${'0'.repeat(64)}`);
    here.registry.putManifest('tool', 'all', types.index, list(other, entry('amd64', digest)));
    expect((await here.fetch('tool:all')).digest).toBe(digest);
    const unlabelled = { ...entry('', digest), platform: undefined };
    here.registry.putManifest('tool', 'unlabelled', types.index, list(other, unlabelled));
    expect((await here.fetch('tool:unlabelled')).digest).toBe(digest);
    here.registry.putManifest('tool', 'arm', types.index, list(other));
    await expect(here.fetch('tool:arm')).rejects.toMatchObject({
      code: 'image_invalid',
      message: expect.stringContaining('no variant for linux/amd64'),
    });
  });

  it('is fetched from a mirror, which is asked before the registry', async () => {
    const digest = here.registry.put('tool', '1', image());
    const registries = registriesSchema.parse([
      { location: 'registry.test:5000', mirrors: [{ location: here.registry.place, insecure: true }] },
    ]);
    const fetched = await fetchImage(here.depsFor(registries), 'registry.test:5000/tool:1', {}, signal);
    expect(fetched.digest).toBe(digest);
  });

  it('is fetched from its registry when the mirror cannot be reached or does not have it, and a line says so', async () => {
    const mirror = await FakeRegistry.start();
    const { place } = here.registry;
    const registries = registriesSchema.parse([
      { location: place, insecure: true, mirrors: [{ location: mirror.place, insecure: true }] },
    ]);
    const digest = here.registry.put('tool', '1', image());
    const get = () => fetchImage(here.depsFor(registries), `${place}/tool:1`, {}, signal);
    expect((await get()).digest).toBe(digest);
    const line = (fault: string) =>
      `the image comes from ${place} itself: its mirror ${mirror.place} ${fault}`;
    expect(here.lines).toEqual([line('does not give it')]);
    const asked = mirror.requests.length;
    expect(asked).toBeGreaterThan(0);
    await mirror.stop();
    here.lines = [];
    expect((await get()).digest).toBe(digest);
    expect(here.lines).toEqual([line('cannot be reached')]);
  });

  it('is fetched with lines about how far it is', async () => {
    here.registry.put('tool', '1', layoutFiles([layerOf(file('a', 'x'.repeat(3_000_000)))]));
    const bytesOf = (answer: Buffer) => answer.subarray(0, answer.length / 2);
    here.registry.intercept = (request, response) => {
      const digest = /blobs\/(sha256:\w+)$/.exec(request.url ?? '')?.[1] ?? '';
      const blob = here.registry.blobs.get(digest);
      if (!blob || blob.length < 1_000_000 || request.method !== 'GET') return false;
      response.writeHead(200, { 'content-length': blob.length });
      response.write(bytesOf(blob));
      setTimeout(() => response.end(blob.subarray(bytesOf(blob).length)), 1_000);
      return true;
    };
    await here.fetch('tool:1', { progressMs: 50 });
    expect(here.lines.length).toBeGreaterThan(0);
    for (const line of here.lines)
      expect(line).toMatch(new RegExp(`^fetching ${here.registry.place}/tool:1: [0-3]\\.\\d of 3\\.0 MB$`));
    expect(here.lines.join('\n')).toMatch(/: 1\.[0-9] of 3/);
  });

  it('is fetched from the first address of its host that answers', async () => {
    const digest = here.registry.put('tool', '1', image());
    const place = `registry.test:${here.registry.place.split(':')[1]}`;
    const resolve = (host: string) =>
      Promise.resolve(host === 'registry.test' ? ['127.0.0.2', '127.0.0.1'] : []);
    const fetched = await fetchImage(
      here.depsFor(insecure(place), { resolve }),
      `${place}/tool:1`,
      {},
      signal,
    );
    expect(fetched.digest).toBe(digest);
  });
});

describe('a repository that sends the manifest of an image of another repository', () => {
  const sendManifest = async () => {
    const digest = here.registry.put('victim/tool', '1', image());
    const { bytes } = here.registry.manifests.get(`victim/tool:${digest}`) as { bytes: Buffer };
    here.registry.putManifest('attacker/tool', '1', types.manifest, bytes);
    here.registry.intercept = (request, response) => {
      const isMissing = request.url?.startsWith('/v2/attacker/tool/blobs/') ?? false;
      if (isMissing) response.writeHead(404).end('{"errors":[{"code":"BLOB_UNKNOWN"}]}');
      return isMissing;
    };
    return digest;
  };

  it('and does not have the layers gives no image, with a cold cache or a warm one', async () => {
    const digest = await sendManifest();
    const cold = (await here.fetch('attacker/tool:1').catch((error: unknown) => error)) as Error;
    expect(cold).toMatchObject({ code: expect.stringMatching(/^(image|registry)_/) as string });
    expect((await here.fetch('victim/tool:1')).digest).toBe(digest);
    await expect(here.fetch('attacker/tool:1')).rejects.toThrow(cold.message);
  });

  it('would give the image if archives were cached for a manifest alone, so the test above can fail', async () => {
    const digest = await sendManifest();
    const { file } = await here.fetch('victim/tool:1');
    const key = digestOf(Buffer.from(`${here.registry.place}/attacker/tool ${digest}`));
    await copyFile(file, join(here.root, 'cache', `image-${key.replace(':', '-')}`));
    expect(Object.keys((await archived((await here.fetch('attacker/tool:1')).file)).tree)).toEqual([
      'a',
      'b',
    ]);
  });
});

describe('a real registry with passwords', () => {
  let real: Awaited<ReturnType<typeof realRegistry>>;
  let work: string;
  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'fumehood-real-registry-'));
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
      here.depsFor(insecure(real.place)),
      `${real.place}/${reference}`,
      auth === null ? {} : { [real.place]: { auth } },
      signal,
    );

  it('accepts the right password, which no other user of the machine can read', async () => {
    const fetched = await get(basic);
    expect(fetched.digest).toBe(manifestOf(image()).digest);
    expect(Object.keys((await archived(fetched.file)).tree)).toEqual(['a', 'b']);
    const visible = JSON.stringify(here.started);
    for (const secret of [basic, password]) expect(visible).not.toContain(secret);
  });

  it('refuses other credentials even when the image is cached, and the error contains no credential', async () => {
    await get(basic);
    const wrongAuth = Buffer.from(`${user}:another-secret`).toString('base64');
    for (const auth of [null, wrongAuth]) {
      const error = (await get(auth).catch((caught: unknown) => caught)) as Error;
      expect(error).toMatchObject({ code: 'registry_unauthorized' });
      for (const secret of [wrongAuth, 'another-secret'])
        expect(JSON.stringify(error) + error.message).not.toContain(secret);
    }
  });

  it('reports an image that it does not have', async () => {
    for (const missing of ['group/tool:2', 'nothing:1'])
      await expect(get(basic, missing)).rejects.toMatchObject({ code: 'image_not_found' });
  });

  it('answers like the fake registry', async () => {
    const files = image();
    const digest = here.registry.put('group/tool', '1', files);
    here.registry.basic = basic;
    const blob = digestOf(gzipSync(layers[0] as Buffer));
    const answerOf = async (place: string, path: string, authorization: string, method: string) => {
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
            [here.registry.place, real.place].map((place) =>
              answerOf(place, `group/tool/${path}`, auth, method),
            ),
          );
          expect(one, `${method} ${path}`).toEqual(other);
        }
  });
});
