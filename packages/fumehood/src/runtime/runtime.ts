import { createHash } from 'node:crypto';
import { constants, existsSync } from 'node:fs';
import { access, chmod, copyFile, cp, mkdir, mkdtemp, readdir, rename, rm, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { buildLauncher } from '@fumehood/microvm';
import { bundleOptions } from '../bundle/options.ts';
import { stateUnusable } from '../errors.ts';
import type { State } from '../state/state.ts';

/** The programs that the processes run. They are outside of the checkout, readable by all users and writable only by their owner. */
export interface Runtime {
  /** Identifies the build: it changes with the sources, esbuild and Node. */
  readonly key: string;
  readonly directory: string;
  readonly node: string;
  readonly instanceHelper: string;
  readonly instance: string;
  readonly migrations: string;
  readonly executorHelper: string;
  readonly agent: string;
  readonly diskMaker: string;
  readonly src: string;
  readonly launcher: string;
}

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

/** Bundles the programs if the sources changed since the last build (0.5 s), and copies Node beside them. */
export async function prepareRuntime(state: State, onProgress: (line: string) => void): Promise<Runtime> {
  await mkdir(state.runtime, { recursive: true, mode: 0o755 });
  const node = await copyNode(state.runtime);
  const key = await sourceKey();
  const directory = join(state.runtime, key);
  if (!existsSync(directory)) {
    onProgress('bundling the programs');
    const staged = await mkdtemp(join(state.runtime, '.bundle-'));
    await bundle(staged);
    await cp(join(sourceOf('instance'), 'db/migrations'), join(staged, 'migrations'), { recursive: true });
    await makeReadable(staged);
    await rename(staged, directory);
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
    diskMaker: script('disk-maker'),
    src: script('src'),
    launcher: await buildLauncher(state.runtime),
  };
}

/** Removes all builds except the current one. */
export async function removeOldRuntimes(state: State, current: Runtime): Promise<void> {
  const keep = new Set([current.directory, join(state.runtime, current.key), current.node, current.launcher]);
  for (const name of await readdir(state.runtime)) {
    const path = join(state.runtime, name);
    if (!keep.has(path)) await rm(path, { recursive: true, force: true });
  }
}

/** Makes a directory readable for all users: the checkout may have been made under a umask such as 077. */
async function makeReadable(directory: string): Promise<void> {
  await chmod(directory, 0o755);
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true }))
    await chmod(join(entry.parentPath, entry.name), entry.isDirectory() ? 0o755 : 0o644);
}

/** Bundles each program into one file. A program has only what it imports: packages say that their modules have no side effects. */
export async function bundle(directory: string): Promise<void> {
  const { build } = await import('esbuild'); // takes 40 ms, which only a new build needs
  await build({
    ...bundleOptions,
    entryPoints: Object.entries(programs).map(([out, [name, file]]) => ({
      in: join(sourceOf(name), file),
      out,
    })),
    outdir: directory,
  });
}

/** Hashes the name, size and time of each source: reading 300 files would slow down every start. */
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
  const bundler = await stat(resolve('esbuild/package.json'));
  hash.update(`${process.version} ${bundler.mtimeMs}`);
  return hash.digest('hex').slice(0, 16);
}

/** Copies this Node to a place that all users can reach, and returns its path. Errors: `state_unusable`. */
async function copyNode(directory: string): Promise<string> {
  const target = join(directory, `node-${process.version}`);
  if (existsSync(target)) return target;
  const staged = `${target}.${process.pid}`;
  await copyFile(process.execPath, staged, constants.COPYFILE_FICLONE);
  await chmod(staged, 0o755);
  // The kernel answers so for a file system that is mounted with `noexec`, also to root.
  await access(staged, constants.X_OK).catch((error: Error) => {
    throw stateUnusable(dirname(directory), `no program can be executed in it (${error.message})`);
  });
  await rename(staged, target);
  return target;
}
