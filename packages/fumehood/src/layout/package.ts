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
  async launcher(directory) {
    const launcher = join(directory, `launcher-${await layout.programsKey()}`);
    const partial = `${launcher}.${process.pid}`;
    await copyFile(join(root, 'lib/launcher'), partial);
    await rename(partial, launcher);
    return launcher;
  },
  async guestRecipe() {
    const { guestRecipe } = await import('@fumehood/microvm');
    return { ...guestRecipe, init: join(root, 'lib/init') };
  },
};
