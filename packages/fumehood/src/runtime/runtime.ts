import { createHash } from 'node:crypto';
import { constants, existsSync } from 'node:fs';
import { chmod, copyFile, cp, mkdir, mkdtemp, readdir, rename, rm, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildLauncher } from '@fumehood/microvm';
import type { State } from '../state/state.ts';

/** What the processes run: outside of the checkout, readable by everybody, writable by its maker alone. */
export interface Runtime {
  /** Names this build; another one has another. */
  readonly key: string;
  readonly directory: string;
  readonly node: string;
  readonly instanceHelper: string;
  readonly instance: string;
  readonly migrations: string;
  readonly executorHelper: string;
  readonly agent: string;
  readonly src: string;
  readonly launcher: string;
}

const sourceOf = (name: string) => dirname(fileURLToPath(import.meta.resolve(`@fumehood/${name}`)));
const programs = {
  'instance-helper': ['instance', 'helper/main.ts'],
  instance: ['instance', 'main.ts'],
  'executor-helper': ['executor', 'helper/main.ts'],
  agent: ['executor', 'agent/main.ts'],
  src: ['src-cli', 'main.ts'],
} as const;

/** Bundles the programs, once for each state of the sources (0.5 s), and copies Node beside them. */
export async function prepareRuntime(state: State, onProgress: (line: string) => void): Promise<Runtime> {
  await mkdir(state.runtime, { recursive: true, mode: 0o755 });
  const node = await copyNode(state.runtime);
  const key = await sourceKey();
  const directory = join(state.runtime, key);
  if (!existsSync(directory)) {
    onProgress('bundling the programs');
    const made = await mkdtemp(join(state.runtime, '.bundle-'));
    await bundle(made);
    await cp(join(sourceOf('instance'), 'db/migrations'), join(made, 'migrations'), { recursive: true });
    await makeReadable(made);
    await rename(made, directory);
  }
  const script = (name: keyof typeof programs) => join(directory, `${name}.mjs`);
  return {
    key,
    directory: state.runtime,
    node,
    instanceHelper: script('instance-helper'),
    instance: script('instance'),
    migrations: join(directory, 'migrations'),
    executorHelper: script('executor-helper'),
    agent: script('agent'),
    src: script('src'),
    launcher: await buildLauncher(state.runtime),
  };
}

/** Removes builds that nobody runs any more. */
export async function removeOldRuntimes(state: State, current: Runtime): Promise<void> {
  const keep = new Set([current.directory, join(state.runtime, current.key), current.node, current.launcher]);
  for (const name of await readdir(state.runtime)) {
    const path = join(state.runtime, name);
    if (!keep.has(path)) await rm(path, { recursive: true, force: true });
  }
}

/** For everybody, whatever the modes of the checkout: it may have been made under a umask that shuts others out. */
async function makeReadable(directory: string): Promise<void> {
  await chmod(directory, 0o755);
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true }))
    await chmod(join(entry.parentPath, entry.name), entry.isDirectory() ? 0o755 : 0o644);
}

async function bundle(directory: string): Promise<void> {
  const { build } = await import('esbuild'); // 40 ms that only a new build has to pay
  await build({
    entryPoints: Object.entries(programs).map(([out, [name, file]]) => ({
      in: join(sourceOf(name), file),
      out,
    })),
    outdir: directory,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node26',
    logLevel: 'error',
    external: ['pg-native'],
    // Packages in the older module system ask for Node's own by `require`.
    banner: {
      js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
    },
  });
}

/** Sources are told apart by name, size and time: reading 300 files would be felt at every start. */
async function sourceKey(): Promise<string> {
  const hash = createHash('sha256');
  const packages = join(sourceOf('instance'), '../..');
  const files = (await readdir(packages, { recursive: true }))
    .filter((file) => /^[^/]+\/src\/.*\.(ts|sql)$/.test(file) && !file.endsWith('.test.ts'))
    .sort();
  for (const file of files) {
    const { size, mtimeMs } = await stat(join(packages, file));
    hash.update(`${file} ${size} ${mtimeMs}\n`);
  }
  // What they are bundled with.
  const lock = await stat(createRequire(import.meta.url).resolve('esbuild/package.json'));
  hash.update(`${process.version} ${lock.mtimeMs}`);
  return hash.digest('hex').slice(0, 16);
}

async function copyNode(directory: string): Promise<string> {
  const target = join(directory, `node-${process.version}`);
  if (existsSync(target)) return target;
  const aside = `${target}.${process.pid}`;
  await copyFile(process.execPath, aside, constants.COPYFILE_FICLONE);
  await chmod(aside, 0o755);
  await rename(aside, target);
  return target;
}
