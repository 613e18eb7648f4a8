import { readdirSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { Spawn } from '@fumehood/base';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { digestOf } from '../digest.ts';
import { Fetching, image, insecure, layers } from '../testing/fetching.ts';
import { json, layoutFiles, withManifest } from '../testing/image.ts';
import { basic, FakeRegistry, password, refuse, types } from '../testing/registry.ts';
import { fetchImage } from './fetch.ts';
import { registriesSchema } from './registries.ts';

const { signal } = new AbortController();
let here: Fetching;
beforeAll(async () => {
  here = await Fetching.make();
});
afterAll(() => here.remove());
beforeEach(() => here.begin());
afterEach(() => here.end());

const refused = (code: string, why: string) => ({ code, message: expect.stringContaining(why) as string });

describe('refused before a layer is fetched:', () => {
  const put = (change: Parameters<typeof withManifest>[1]) =>
    here.registry.put('tool', '1', withManifest(image(), change));

  it.each<[string, () => void, string, string]>([
    [
      'an image that is larger than the limit',
      () => put((one) => Object.assign(one.layers[0] as object, { size: 2 ** 40 })),
      'image_too_big',
      'at most 17179869184 are allowed',
    ],
    [
      'an image with 501 layers',
      () => put((one) => Object.assign(one, { layers: Array(501).fill(one.layers[0]) })),
      'image_invalid',
      'more than 500 layers',
    ],
    [
      'an image with a configuration of 5 MiB',
      () => put((one) => Object.assign(one.config, { size: 5 * 2 ** 20 })),
      'image_too_big',
      'configuration',
    ],
    [
      'an image for another architecture',
      () => here.registry.put('tool', '1', layoutFiles(layers, { architecture: 'arm64' })),
      'image_invalid',
      'linux/arm64',
    ],
    [
      'an artifact that is not an image',
      () => put((one) => Object.assign(one.layers[0] as object, { mediaType: 'text/html' })),
      'image_invalid',
      'text/html',
    ],
    [
      'a manifest that is not an object',
      () => here.registry.putManifest('tool', '1', types.manifest, json([])),
      'image_invalid',
      '',
    ],
  ])('%s', async (_what, prepare, code, why) => {
    prepare();
    await expect(here.fetch('tool:1')).rejects.toMatchObject(refused(code, why));
    expect(here.started.filter(({ label }) => label === 'skopeo copy')).toEqual([]);
    expect(readdirSync(join(here.root, 'cache'))).toEqual([]);
  });

  it('a manifest of 64 MiB', async () => {
    here.registry.putManifest('tool', '1', types.manifest, Buffer.alloc(64 * 2 ** 20, ' '));
    await expect(here.fetch('tool:1')).rejects.toMatchObject(refused('image_too_big', 'manifest'));
    expect(here.registry.blobRequests()).toBe(0);
  });
});

describe('a registry that lies', () => {
  it.each<[string, (bytes: Buffer) => Buffer]>([
    ['with a changed byte', (bytes) => Buffer.concat([bytes.subarray(0, -1), Buffer.from([7])])],
    ['with a missing byte', (bytes) => bytes.subarray(0, -1)],
  ])('about a layer, %s, is detected, and nothing is kept', async (_how, change) => {
    here.registry.put('tool', '1', image());
    const digest = digestOf(gzipSync(layers[0] as Buffer));
    here.registry.blobs.set(digest, change(here.registry.blobs.get(digest) as Buffer));
    await expect(here.fetch('tool:1')).rejects.toMatchObject({ code: 'image_invalid' });
    expect(readdirSync(join(here.root, 'cache'))).toEqual([]);
  });

  it('about the size of a layer and sends bytes without end is cut off', async () => {
    here.registry.put('tool', '1', image());
    const digest = digestOf(gzipSync(layers[0] as Buffer));
    let sent = 0;
    here.registry.intercept = (request, response) => {
      if (!request.url?.endsWith(digest)) return false;
      response.writeHead(200);
      const more = () => {
        while (!response.destroyed && response.write(Buffer.alloc(65_536))) sent += 65_536;
      };
      response.on('drain', more);
      more();
      return true;
    };
    await expect(here.fetch('tool:1')).rejects.toMatchObject({ code: 'image_too_big' });
    expect(sent).toBeLessThan(64 * 2 ** 20);
  });

  it('about the manifest of a digest is detected', async () => {
    const requested = here.registry.put('tool', '1', image());
    here.registry.put('tool', '2', image({ Cmd: ['other'] }));
    here.registry.manifests.set(`tool:${requested}`, here.registry.manifests.get('tool:2') as never);
    await expect(here.fetch(`tool@${requested}`)).rejects.toMatchObject({ code: 'image_invalid' });
  });

  it('in error messages cannot send control characters to the terminal or have a secret repeated', async () => {
    here.registry.intercept = (request, response) => {
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
      here.depsFor(insecure(here.registry.place)),
      `${here.registry.place}/tool:1`,
      { [here.registry.place]: { auth: basic } },
      signal,
    ).catch((caught: unknown) => caught)) as Error;
    expect(error.message.length).toBeLessThan(500);
    expect(error.message).not.toContain('\u001b');
    for (const secret of [basic, password]) expect(error.message).not.toContain(secret);
  });
});

describe('a skopeo that was taken over by an image', () => {
  it.each([
    ['a link in place of a layer', 'ln -sf /etc/passwd "$layer"'],
    ['a second name of a layer', 'ln "$layer" second'],
    ['a FIFO in place of a layer', 'rm "$layer"; mkfifo "$layer"'],
  ])('gets nothing into the cache by %s', async (_what, attack) => {
    here.registry.put('tool', '1', image());
    const layer = digestOf(gzipSync(layers[0] as Buffer)).slice('sha256:'.length);
    const { spawn } = here.depsFor([]);
    const script = `layer=/out/${layer}; "$@" && { cd /out && ${attack}; }`;
    const takenOver: Spawn = (request) =>
      spawn(
        request.label === 'skopeo copy'
          ? { ...request, program: '/bin/sh', args: ['-c', script, 'sh', request.program, ...request.args] }
          : request,
      );
    await expect(here.fetch('tool:1', { spawn: takenOver })).rejects.toMatchObject({
      code: 'output_refused',
    });
    expect(readdirSync(join(here.root, 'cache'))).toEqual([]);
  });
});

describe('a registry that does not answer', () => {
  it('in time is given up, and no process is left', async () => {
    here.registry.put('tool', '1', image());
    here.registry.intercept = ({ url = '' }) => url.endsWith(digestOf(gzipSync(layers[0] as Buffer)));
    await expect(here.fetch('tool:1', { copyMs: 2_000 })).rejects.toMatchObject(
      refused('registry_unreachable', 'not done within 2 s'),
    );
    expect(here.alive).toBe(0);
  });

  it('is given up when its last caller has left, not earlier', async () => {
    here.registry.put('tool', '1', image());
    let release = () => {};
    const asked = new Promise<void>((resolve) => {
      here.registry.intercept = (request, response) => {
        if (!request.url?.includes('/blobs/')) return false;
        resolve();
        const answer = here.registry.blobs.get(request.url.split('/').at(-1) ?? '');
        release = () => void response.end(answer);
        return true;
      };
    });
    const one = new AbortController();
    const other = new AbortController();
    const get = ({ signal: stopped }: AbortController) =>
      fetchImage(here.depsFor(insecure(here.registry.place)), `${here.registry.place}/tool:1`, {}, stopped);
    const [first, second] = [get(one), get(other)].map((promise) =>
      promise.catch((caught: unknown) => caught),
    );
    await asked;
    one.abort(new Error('the first gave up'));
    expect(await first).toMatchObject({ message: 'the first gave up' });
    other.abort(new Error('the second gave up'));
    expect(await second).toMatchObject({ message: 'the second gave up' });
    release();
    expect(readdirSync(join(here.root, 'cache'))).toEqual([]);
    expect(here.alive).toBe(0);
  });

  it('at all gives `registry_unreachable`', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const place = `127.0.0.1:${(server.address() as { port: number }).port}`;
    await new Promise((resolve) => server.close(resolve));
    const get = fetchImage(here.depsFor(insecure(place)), `${place}/tool:1`, {}, signal);
    await expect(get).rejects.toMatchObject({ code: 'registry_unreachable' });
  });
});

describe('an address that is not public', () => {
  const resolve = () => Promise.resolve(['127.0.0.1']);

  it('is not reached through a reference, unless the operator has named it', async () => {
    const place = `registry.test:${here.registry.place.split(':')[1]}`;
    here.registry.put('tool', '1', image());
    const get = fetchImage(here.depsFor([], { resolve }), `${place}/tool:1`, {}, signal);
    await expect(get).rejects.toMatchObject(refused('registry_not_public', place));
    expect(here.registry.requests).toEqual([]);
  });

  it('is not reached through a redirect of a registry', async () => {
    here.registry.put('tool', '1', image());
    const other = await FakeRegistry.start();
    const target = `elsewhere.test:${other.place.split(':')[1]}`;
    here.registry.intercept = (request, response) => {
      if (!request.url?.includes('/blobs/')) return false;
      response.writeHead(307, { location: `http://${target}${request.url}` }).end();
      return true;
    };
    await expect(here.fetch('tool:1', { resolve })).rejects.toMatchObject(
      refused('registry_not_public', target),
    );
    expect(other.requests).toEqual([]);
    await other.stop();
  });

  it('is not reached without TLS unless the operator allows it', async () => {
    here.registry.put('tool', '1', image());
    const registries = registriesSchema.parse([{ location: here.registry.place }]);
    const get = fetchImage(here.depsFor(registries), `${here.registry.place}/tool:1`, {}, signal);
    await expect(get).rejects.toMatchObject({ code: 'registry_unreachable' });
    expect(here.registry.requests).toEqual([]);
  });
});
