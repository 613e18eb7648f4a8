import { createHash } from 'node:crypto';
import { readdir, stat } from 'node:fs/promises';
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

/** Hashes the name, size and time of each source: reading 300 files would slow down every start. */
export async function sourceKey(): Promise<string> {
  const hash = createHash('sha256');
  const packages = join(sourceOf('instance'), '../..');
  const files = (await readdir(packages, { recursive: true }))
    .filter((file) => /^[^/]+\/src\/.*\.(ts|sql)$/.test(file) && !file.endsWith('.test.ts'))
    .sort();
  for (const file of files) {
    const { size, mtimeMs } = await stat(join(packages, file));
    hash.update(`${file} ${size} ${mtimeMs}\n`);
  }
  const bundler = await stat(resolve('esbuild/package.json'));
  hash.update(`${process.version} ${bundler.mtimeMs}`);
  return hash.digest('hex').slice(0, 16);
}
