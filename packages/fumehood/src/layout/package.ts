import { copyFile, cp, readFile, rename } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Layout } from './layout.ts';

/** The command is bundled into `lib/command-line/`. */
const root = resolve(import.meta.dirname, '../..');
const programs = join(root, 'lib/programs');

/** A package that `npm run package` made: the programs, the launcher and init are built already. */
export const layout: Layout = {
  root,
  command: join(root, 'bin/fumehood.mjs'),
  isCheckout: false,
  manifest: join(root, 'package.json'),
  programsKey: async () => (await readFile(join(programs, 'key'), 'utf8')).trim(),
  writePrograms: (directory) => cp(programs, directory, { recursive: true }),
  async hostPrograms(directory) {
    const key = await layout.programsKey();
    const copied = async (name: string) => {
      const program = join(directory, `${name}-${key}`);
      const partial = `${program}.${process.pid}`;
      await copyFile(join(root, 'lib', name), partial);
      await rename(partial, program);
      return program;
    };
    return { launcher: await copied('launcher'), network: await copied('network') };
  },
  async guestRecipe() {
    const { guestRecipe } = await import('@fumehood/microvm');
    return { ...guestRecipe, init: join(root, 'lib/init') };
  },
};
