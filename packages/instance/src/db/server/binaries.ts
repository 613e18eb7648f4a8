import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { cp, mkdir, rename, rm, symlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { databaseVersion, postgresMissing } from '../../start-errors.ts';

/** A directory that has `postgres` and `initdb`, and their major version. */
export interface Binaries {
  readonly bin: string;
  readonly major: number;
}

const oldestMajor = 15;

function majorVersion(bin: string): number {
  const answer = spawnSync(join(bin, 'postgres'), ['--version'], { encoding: 'utf8' });
  return Number(/\(PostgreSQL\) (\d+)/.exec(answer.stdout ?? '')?.[1] ?? 0);
}

/** Returns the PostgreSQL installations of this machine, newest first: those in the search path, and Debian's. */
function findInstalled(searchPath: string): Binaries[] {
  const debian = '/usr/lib/postgresql';
  const directories = [
    ...searchPath.split(':').filter((entry) => entry.startsWith('/')),
    ...(existsSync(debian) ? readdirSync(debian).map((name) => join(debian, name, 'bin')) : []),
  ];
  return directories
    .filter((bin) => existsSync(join(bin, 'postgres')) && existsSync(join(bin, 'initdb')))
    .map((bin) => ({ bin, major: majorVersion(bin) }))
    .filter(({ major }) => major >= oldestMajor)
    .sort((a, b) => b.major - a.major);
}

/**
 * Copies the npm package's binaries to `target`. The package may lie in a home directory that the database's user cannot enter,
 * and npm may not have run the package's script that links its libraries.
 */
async function copyEmbedded(packageDirectory: string, target: string): Promise<Binaries> {
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
      // Every link is in the directory of the file that it names.
      if (!existsSync(join(staged, link)) && dirname(source) === dirname(link))
        await symlink(basename(source), join(staged, link));
    }
    await rm(target, { recursive: true, force: true });
    await rename(staged, target);
  }
  const bin = join(complete, 'bin');
  return { bin, major: majorVersion(bin) };
}

/**
 * Finds PostgreSQL's programs: the installed ones, otherwise those of the npm package in the directory `embeddedPackage`.
 * Existing data need programs of their major version. Errors: `postgres_missing`, `database_version`.
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
  const system = findInstalled(options.searchPath).find(fits);
  if (system) return system;
  if (options.embeddedPackage !== null) {
    const copy = await copyEmbedded(options.embeddedPackage, options.embeddedCopy);
    if (fits(copy)) return copy;
  }
  throw needed === null ? postgresMissing() : databaseVersion(options.dataDirectory, needed);
}
