import { constants } from 'node:fs';
import { chmod, copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { build } from 'esbuild';

/**
 * Bundles the disk maker into a directory that programs under the profile can enter, and copies Node beside it, as `fumehood up` does.
 * Returns the paths of both.
 */
export async function bundledDiskMaker(directory: string): Promise<{ node: string; script: string }> {
  const node = join(directory, 'node');
  const script = join(directory, 'disk-maker.mjs');
  await copyFile(process.execPath, node, constants.COPYFILE_FICLONE);
  await build({
    entryPoints: [join(import.meta.dirname, '../disk-maker/main.ts')],
    outfile: script,
    bundle: true,
    platform: 'node',
    format: 'esm',
    logLevel: 'error',
    banner: {
      js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
    },
  });
  await chmod(script, 0o644);
  return { node, script };
}
