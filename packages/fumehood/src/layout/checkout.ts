import { cp } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Layout } from './layout.ts';

const root = resolve(import.meta.dirname, '../../../..');

/** A checkout of the repository: everything is built from its sources. */
export const layout: Layout = {
  root,
  command: join(root, 'node_modules/.bin/fumehood'),
  isCheckout: true,
  manifest: join(root, 'packages/fumehood/package.json'),
  async programsKey() {
    const { sourceKey } = await import('../bundle/source-key.ts');
    return sourceKey(join(root, 'packages'));
  },
  async writePrograms(directory) {
    const { bundlePrograms } = await import('../bundle/programs.ts');
    await bundlePrograms(directory);
    const migrations = join(root, 'packages/instance/src/db/migrations');
    await cp(migrations, join(directory, 'migrations'), { recursive: true });
  },
  async hostPrograms(directory) {
    const { buildLauncher, buildNetworkProgram } = await import('@fumehood/microvm');
    const [launcher, network] = await Promise.all([buildLauncher(directory), buildNetworkProgram(directory)]);
    return { launcher, network };
  },
  async guestRecipe() {
    const { guestRecipe } = await import('@fumehood/microvm');
    return guestRecipe;
  },
};
