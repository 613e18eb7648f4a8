import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { localSpawn, openFileCache, systemClock } from '@fumehood/base';
import { openFetchMemory } from '@fumehood/oci';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { diskMakerOf } from '../../packages/executor/src/disk-maker/make-disk.ts';
import { type ImageDeps, imageDisks } from '../../packages/executor/src/runtime/microvm/image-disks.ts';
import { bundledDiskMaker } from '../../packages/executor/src/testing/disk-maker.ts';
import type { JobClient } from '../../packages/executor/src/uplink/job-client.ts';
import { file, layerOf, layoutFiles } from '../../packages/oci/src/testing/image.ts';
import { basic, FakeRegistry } from '../../packages/oci/src/testing/registry.ts';

/** Tests which credential a registry gets when a step names one of its images. */
const isRoot = process.getuid?.() === 0;
const spawn = localSpawn(isRoot ? { uid: 1_900_000_002, gid: process.getgid?.() ?? 0 } : null);
const other = Buffer.from('other:password').toString('base64');
let root: string;
let registry: FakeRegistry;
let deps: ImageDeps;
let digest: string;
let script: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'fumehood-credentials-'));
  await chmod(root, 0o711);
  const [disks, blobs, work] = ['disks', 'blobs', 'work'].map((name) => join(root, name)) as [
    string,
    string,
    string,
  ];
  for (const path of [disks, blobs, work]) {
    mkdirSync(path);
    await chmod(path, 0o711);
  }
  const programs = await bundledDiskMaker(root);
  const { node } = programs;
  ({ script } = programs);
  registry = await FakeRegistry.start();
  registry.basic = basic;
  digest = registry.put('tool', '1', layoutFiles([layerOf(file('a'))]));
  const registryAuthFile = join(root, 'config.json');
  const registries = [{ location: registry.place, insecure: true, mirrors: [] }];
  const directories = { disks, blobs, work };
  const cache = openFileCache({ directories: [], maxBytes: 0, onTrouble() {} }).open();
  const fetchMemory = openFetchMemory(systemClock);
  deps = {
    cache,
    spawn,
    clock: systemClock,
    directories,
    registries,
    registryAuthFile,
    node,
    route: { proxy: null },
    fetchMemory,
    imageMaxMiB: 1,
  };
});
afterAll(async () => {
  await registry.stop();
  await rm(root, { recursive: true, force: true });
});
beforeEach(() => setOwnCredential(basic));

const setOwnCredential = (auth: string) =>
  writeFileSync(deps.registryAuthFile as string, JSON.stringify({ auths: { [registry.place]: { auth } } }));
const disks = async (
  dockerAuthConfig?: { auths?: Record<string, { auth: string }> },
  { steps = 1, native = false, image = `${registry.place}/tool:1` } = {},
) => {
  const dockerSteps = Array.from({ length: steps }, () => ({ image }));
  const lines: string[] = [];
  const job = { dockerSteps, dockerAuthConfig };
  const client = { native } as JobClient; // the images of these jobs are not on the instance
  const maker = diskMakerOf({ spawn, node: deps.node, script }, 1024);
  const made = await imageDisks(deps, maker, client, job, new AbortController().signal, (line) => {
    lines.push(line);
    return Promise.resolve();
  });
  return { files: made.map((disk) => disk.file), lines };
};

describe('a registry gets', () => {
  it("the executor's current credential when the job brings none", async () => {
    const { files, lines } = await disks({});
    expect(files).toEqual([expect.stringMatching(/^image-/)]);
    expect(lines).toEqual([`${registry.place}/tool:1 is ${digest}`]);
    setOwnCredential(other);
    await expect(disks()).rejects.toMatchObject({ code: 'registry_unauthorized' });
  });

  it("the job's credential of a native instance unless the executor has one of its own for this registry", async () => {
    const brought = { auths: { [registry.place]: { auth: basic } } };
    writeFileSync(
      deps.registryAuthFile as string,
      JSON.stringify({ auths: { 'other.test': { auth: other } } }),
    );
    await disks(brought, { native: true });
    setOwnCredential(other);
    await expect(disks(brought, { native: true })).rejects.toMatchObject({ code: 'registry_unauthorized' });
    setOwnCredential(basic);
    await disks({ auths: { [`https://${registry.place}/v1/`]: { auth: other } } }, { native: true });
  });

  it("only the job's credential when a job of an upstream instance brings one, also for a cached image", async () => {
    setOwnCredential(other);
    await disks({ auths: { [registry.place]: { auth: basic } } });
    setOwnCredential(basic);
    const wrong = { auths: { [registry.place]: { auth: other } } };
    await expect(disks(wrong)).rejects.toMatchObject({ code: 'registry_unauthorized' });
  });
});

it('the second job with an image by its digest asks the registry nothing, and the third one with its tag once', async () => {
  const pinned = `${registry.place}/tool@${digest}`;
  const first = await disks(undefined, { image: pinned });
  registry.requests.length = 0;
  expect((await disks(undefined, { image: pinned })).files).toEqual(first.files);
  expect(registry.requests).toEqual([]);
  expect((await disks()).files).toEqual(first.files);
  expect(registry.requests.filter((line) => /manifests|blobs/.test(line))).toEqual([
    expect.stringMatching(/ \/v2\/tool\/manifests\/1$/),
  ]);
});

it('the registry is asked once for steps with the same image, and they share one disk', async () => {
  const { files, lines } = await disks(undefined, { steps: 3 });
  expect(files).toEqual([files[0], files[0], files[0]]);
  expect(lines).toHaveLength(1);
});

it('an image that is larger than the executor allows is refused before its layers are fetched', async () => {
  registry.put('large', '1', layoutFiles([randomBytes(2 ** 20)]));
  const fetched = disks(undefined, { image: `${registry.place}/large:1` });
  await expect(fetched).rejects.toMatchObject({ code: 'image_too_big' });
  expect(registry.requests.filter((line) => /large\/blobs/.test(line))).toEqual([]);
});

it('a malformed file of credentials is an error', async () => {
  writeFileSync(deps.registryAuthFile as string, '{');
  await expect(disks()).rejects.toMatchObject({ code: 'config_invalid' });
});
