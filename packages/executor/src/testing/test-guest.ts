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
export function cachedKernelPackage(): Promise<string> {
  return cached('kernel', unpackKernelPackage);
}

/** Returns the directory of this name in the cache. If there is none, `make` fills a directory below `work`, and returns its path. */
export async function cached(name: string, make: (work: string) => Promise<string>): Promise<string> {
  const directory = join(cache, name);
  if (existsSync(directory)) return directory;
  await mkdir(cache, { recursive: true });
  const work = await mkdtemp(join(cache, 'unpack-'));
  try {
    await rename(await make(work), directory);
    return directory;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}
