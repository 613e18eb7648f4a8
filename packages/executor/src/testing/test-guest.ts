import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { buildGuest, type GuestImage, type GuestRecipe, unpackKernelPackage } from '@fumehood/microvm';

/**
 * What the tests of a clone share, so that the kernel is fetched once and init compiled once, and not for each test file. It lasts as
 * long as `node_modules` does.
 */
const cache = join(import.meta.dirname, '../../../../node_modules/.cache/fumehood');

/** Makes a guest image in `directory`, which a VMM of any user can reach, unlike the cache. */
export async function testGuest(directory: string, recipe?: GuestRecipe): Promise<GuestImage> {
  const kernelPackage = await cachedKernelPackage();
  const build = { onProgress: () => {}, recipe, kernelPackage };
  if (!recipe) {
    await buildGuest({ ...build, directory: join(cache, 'guest') });
    await cp(join(cache, 'guest'), directory, { recursive: true });
  }
  return buildGuest({ ...build, directory });
}

/** Returns the directory of the files of Debian's cloud kernel package. */
export async function cachedKernelPackage(): Promise<string> {
  const cached = join(cache, 'kernel');
  if (existsSync(cached)) return cached;
  await mkdir(cache, { recursive: true });
  const work = await mkdtemp(join(cache, 'unpack-'));
  try {
    await rename(await unpackKernelPackage(work), cached);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return cached;
}
