import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { build, type Metafile } from 'esbuild';
import { bundleOptions } from './options.ts';

const { resolve } = createRequire(import.meta.url);
const sourceOf = (name: string) => dirname(resolve(`@fumehood/${name}`));
const programs = {
  'instance-helper': ['instance', 'helper/main.ts'],
  instance: ['instance', 'main.ts'],
  'executor-helper': ['executor', 'helper/main.ts'],
  agent: ['executor', 'agent/main.ts'],
  'disk-maker': ['executor', 'disk-maker/main.ts'],
  egress: ['egress', 'main.ts'],
  src: ['src-cli', 'main.ts'],
} as const;

/**
 * Bundles each program into one file, and returns what they are made of. A program has only what it imports: packages say that their
 * modules have no side effects.
 */
export async function bundlePrograms(directory: string): Promise<Metafile> {
  const { metafile } = await build({
    ...bundleOptions,
    metafile: true,
    entryPoints: Object.entries(programs).map(([out, [name, file]]) => ({
      in: join(sourceOf(name), file),
      out,
    })),
    outdir: directory,
  });
  return metafile;
}
