import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { cp, mkdir, rename, rm, symlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { databaseVersion, postgresMissing } from '../../errors.ts';

/** A directory with `postgres` and `initdb`, and their major version. */
export interface Binaries {
  readonly bin: string;
  readonly major: number;
}

const oldest = 15;

function versionOf(bin: string): number {
  const answer = spawnSync(join(bin, 'postgres'), ['--version'], { encoding: 'utf8' });
  return Number(/\(PostgreSQL\) (\d+)/.exec(answer.stdout ?? '')?.[1] ?? 0);
}

function installed(searchPath: string): Binaries[] {
  const debian = '/usr/lib/postgresql';
  const directories = [
    ...searchPath.split(':').filter((entry) => entry.startsWith('/')),
    ...(existsSync(debian) ? readdirSync(debian).map((name) => join(debian, name, 'bin')) : []),
  ];
  return directories
    .filter((bin) => existsSync(join(bin, 'postgres')) && existsSync(join(bin, 'initdb')))
    .map((bin) => ({ bin, major: versionOf(bin) }))
    .filter(({ major }) => major >= oldest)
    .sort((a, b) => b.major - a.major);
}

/**
 * The npm package's binaries, copied to `target`: its own place may be in a home that the database's user cannot enter, and
 * npm may not have run the script that makes the links between its libraries.
 */
async function embedded(packageDirectory: string, target: string): Promise<Binaries> {
  const complete = join(target, 'native');
  if (!existsSync(complete)) {
    const staged = `${target}.new`;
    await rm(staged, { recursive: true, force: true });
    await mkdir(staged, { recursive: true, mode: 0o755 });
    await cp(join(packageDirectory, 'native'), join(staged, 'native'), {
      recursive: true,
      verbatimSymlinks: true,
    });
    const list = readFileSync(join(packageDirectory, 'native/pg-symlinks.json'), 'utf8');
    for (const { source, target: link } of JSON.parse(list) as { source: string; target: string }[]) {
      // All of them are beside what they name.
      if (!existsSync(join(staged, link)) && dirname(source) === dirname(link))
        await symlink(basename(source), join(staged, link));
    }
    await rm(target, { recursive: true, force: true });
    await rename(staged, target);
  }
  const bin = join(complete, 'bin');
  return { bin, major: versionOf(bin) };
}

/**
 * PostgreSQL's programs: the system's, else those of the npm package (`embeddedPackage`, its directory). With data there
 * already, only their major version will do. Errors: `postgres_missing`, `database_version`.
 */
export async function findBinaries(options: {
  readonly dataDirectory: string;
  readonly searchPath: string;
  readonly embeddedPackage: string | null;
  readonly embeddedCopy: string;
}): Promise<Binaries> {
  const versionFile = join(options.dataDirectory, 'PG_VERSION');
  const needed = existsSync(versionFile) ? readFileSync(versionFile, 'utf8').trim() : null;
  const fits = (binaries: Binaries) => needed === null || binaries.major === Number(needed);
  const system = installed(options.searchPath).find(fits);
  if (system) return system;
  if (options.embeddedPackage !== null) {
    const copy = await embedded(options.embeddedPackage, options.embeddedCopy);
    if (fits(copy)) return copy;
  }
  throw needed === null ? postgresMissing() : databaseVersion(options.dataDirectory, needed);
}
