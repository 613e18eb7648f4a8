import { createHash } from 'node:crypto';
import { readdirSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

/**
 * Hashes the name, size and time of each source below `packages`. It is in the path of `fumehood run`: reading the 500 files would take
 * longer, and so would asking for each file's time asynchronously.
 */
export function sourceKey(packages: string): string {
  const hash = createHash('sha256');
  const files = (readdirSync(packages, { recursive: true }) as string[])
    .filter((file) => /^[^/]+\/src\/.*\.(ts|sql)$/.test(file) && !file.endsWith('.test.ts'))
    .sort();
  for (const file of files) {
    const { size, mtimeMs } = statSync(join(packages, file));
    hash.update(`${file} ${size} ${mtimeMs}\n`);
  }
  const { resolve } = createRequire(import.meta.url);
  hash.update(`${process.version} ${statSync(resolve('esbuild/package.json')).mtimeMs}`);
  return hash.digest('hex').slice(0, 16);
}
