import { mkdirSync, writeFileSync } from 'node:fs';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { localSpawn, openFileCache, systemClock } from '@fumehood/base';
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
/** The images of these jobs are not on the instance. */
const client = {} as JobClient;

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
  deps = {
    cache,
    spawn,
    clock: systemClock,
    directories,
    registries,
    registryAuthFile,
    node,
    route: { proxy: null },
  };
});
afterAll(async () => {
  await registry.stop();
  await rm(root, { recursive: true, force: true });
});
beforeEach(() => setOwnCredential(basic));

const setOwnCredential = (auth: string) =>
  writeFileSync(deps.registryAuthFile as string, JSON.stringify({ auths: { [registry.place]: { auth } } }));
const disks = async (dockerAuthConfig?: { auths?: Record<string, { auth: string }> }, steps = 1) => {
  const dockerSteps = Array.from({ length: steps }, () => ({ image: `${registry.place}/tool:1` }));
  const lines: string[] = [];
  const job = { dockerSteps, dockerAuthConfig };
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

  it("only the job's credential when the job brings one, also for a cached image", async () => {
    setOwnCredential(other);
    await disks({ auths: { [registry.place]: { auth: basic } } });
    setOwnCredential(basic);
    const wrong = { auths: { [registry.place]: { auth: other } } };
    await expect(disks(wrong)).rejects.toMatchObject({ code: 'registry_unauthorized' });
  });
});

it('the registry is asked once for steps with the same image, and they share one disk', async () => {
  const { files, lines } = await disks(undefined, 3);
  expect(files).toEqual([files[0], files[0], files[0]]);
  expect(lines).toHaveLength(1);
});

it('a malformed file of credentials is an error', async () => {
  writeFileSync(deps.registryAuthFile as string, '{');
  await expect(disks()).rejects.toMatchObject({ code: 'config_invalid' });
});
