import { constants, existsSync } from 'node:fs';
import { access, chmod, copyFile, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { layout } from '#layout';
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
  readonly egress: string;
  readonly launcher: string;
  readonly network: string;
}

/** The programs, each in a file `NAME.mjs`. */
type Program = 'instance-helper' | 'instance' | 'executor-helper' | 'agent' | 'disk-maker' | 'egress' | 'src';

/** Writes the programs if they changed since the last time (a checkout bundles them, 0.5 s), and copies Node beside them. */
export async function prepareRuntime(state: State, onProgress: (line: string) => void): Promise<Runtime> {
  await mkdir(state.runtime, { recursive: true, mode: 0o755 });
  const node = await copyNode(state.runtime);
  const key = await layout.programsKey();
  const directory = join(state.runtime, key);
  if (!existsSync(directory)) {
    onProgress('preparing the programs');
    const staged = await mkdtemp(join(state.runtime, '.bundle-'));
    await layout.writePrograms(staged);
    await makeReadable(staged);
    await rename(staged, directory);
  }
  const script = (name: Program) => join(directory, `${name}.mjs`);
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
    egress: script('egress'),
    ...(await layout.hostPrograms(state.runtime)),
  };
}

/** Returns the directory of the programs of this build, which may not have been written yet. */
export async function currentPrograms(state: State): Promise<string> {
  return join(state.runtime, await layout.programsKey());
}

/** Removes all builds except the current one. */
export async function removeOldRuntimes(state: State, current: Runtime): Promise<void> {
  const keep = new Set([
    current.directory,
    join(state.runtime, current.key),
    current.node,
    current.launcher,
    current.network,
  ]);
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
