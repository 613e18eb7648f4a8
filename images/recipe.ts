import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream, existsSync } from 'node:fs';
import {
  copyFile,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { FumehoodError } from '@fumehood/base';
import { type TarEntry, tarEnd, tarHeader, tarPadding } from '@fumehood/disk';
import { type ImageConfig, writeImageArchive } from '@fumehood/oci';

const run = promisify(execFile);

const accounts: Readonly<Record<string, string>> = {
  'etc/passwd': 'root:x:0:0:root:/root:/bin/sh\nnode:x:1000:1000::/home/node:/bin/sh\n',
  'etc/group': 'root:x:0:\nnode:x:1000:\n',
};

/** What an image is built from, besides Node: files of npm and Debian packages. */
export interface Recipe {
  readonly name: string;
  /** Files that define how the image is built. A change of one of them gives another image. */
  readonly sources: readonly string[];
  readonly debianPackages: readonly string[];
  /** Paths of the tree that the image contains, each with everything below it. */
  readonly included: readonly string[];
  /** Paths below them that the image leaves out. */
  readonly excluded: RegExp;
  /** Installs everything that is not a Debian package into the tree. */
  install(root: string): Promise<void>;
  readonly config: ImageConfig;
}

/** A container image that was built. */
export interface BuiltImage {
  /** Path of the image archive. */
  readonly archive: string;
  readonly digest: string;
}

/** Installs into a directory what a lock file pins, of the directory `from`. No script of a package runs. Errors: `tool_failed`. */
export async function installNpm(from: string, directory: string): Promise<void> {
  await mkdir(directory, { recursive: true });
  for (const name of ['package.json', 'package-lock.json'])
    await copyFile(join(from, name), join(directory, name));
  const flags = ['--ignore-scripts', '--omit=dev', '--no-audit', '--no-fund', '--no-bin-links'];
  await runTool('npm', ['ci', ...flags], directory);
}

/** Builds an image, once for each state of its recipe. It contains the Node that runs this process. Errors: `tool_failed`. */
export async function buildImage(
  recipe: Recipe,
  options: { readonly directory: string; readonly onProgress: (line: string) => void },
): Promise<BuiltImage> {
  const { directory } = options;
  const onProgress = (line: string) => options.onProgress(`image ${recipe.name}: ${line}`);
  const key = await keyOf(recipe);
  const archive = join(directory, `${key}.tar`);
  const digestFile = join(directory, `${key}.digest`);
  if (existsSync(digestFile)) return { archive, digest: await readFile(digestFile, 'utf8') };
  await mkdir(directory, { recursive: true });
  const work = await mkdtemp(join(tmpdir(), 'fumehood-image-'));
  try {
    const root = join(work, 'root');
    onProgress('fetching Debian packages');
    await unpackDebian(recipe.debianPackages, work, root);
    onProgress('installing its programs');
    await recipe.install(root);
    await mkdir(join(root, 'usr/bin'), { recursive: true });
    await copyFile(process.execPath, join(root, 'usr/bin/node'));
    onProgress('writing the archive');
    const layerFile = join(work, 'layer.tar');
    await pipeline(Readable.from(layer(root, recipe)), createWriteStream(layerFile));
    const partial = join(directory, `.${key}.partial`);
    const { digest } = await writeImageArchive(partial, { config: recipe.config, layerFile });
    await rename(partial, archive);
    await writeFile(digestFile, digest);
    return { archive, digest };
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function keyOf({ sources }: Recipe): Promise<string> {
  const hash = createHash('sha256').update(process.version);
  for (const file of [import.meta.filename, ...sources]) hash.update(await readFile(file));
  return hash.digest('hex').slice(0, 16);
}

async function unpackDebian(names: readonly string[], work: string, root: string): Promise<void> {
  const packages = join(work, 'packages');
  await mkdir(packages);
  await mkdir(root);
  await runTool('apt-get', ['download', ...names], packages);
  for (const name of await readdir(packages)) await runTool('dpkg-deb', ['-x', name, root], packages);
}

/** Runs a program that builds a part of an image. Errors: `tool_failed`. */
export async function runTool(name: string, args: readonly string[], cwd: string): Promise<void> {
  try {
    await run(name, args, { cwd, maxBuffer: 2 ** 24 });
  } catch (error) {
    const { stderr, message } = error as Error & { stderr?: string };
    throw new FumehoodError({
      code: 'tool_failed',
      message: `${name} ${args[0]} failed: ${(stderr || message).trim().slice(-500)}`,
      remedy:
        name === 'apt-get'
          ? 'Refresh the package lists: `apt-get update`.'
          : 'Check the network and try again.',
    });
  }
}

/** Returns the tree as a tar: sorted, owned by root, with time 0, so that equal contents give the same image. */
async function* layer(root: string, recipe: Recipe): AsyncGenerator<Buffer> {
  const plain = { uid: 0, gid: 0, mtime: 0 } as const;
  const small = function* (path: string, text: string) {
    const bytes = Buffer.from(text);
    yield tarHeader({ ...plain, path, type: 'file', size: bytes.length, mode: 0o644 });
    yield bytes;
    yield tarPadding(bytes.length);
  };
  for await (const entry of walk(root, '', recipe)) {
    yield tarHeader({ ...plain, ...entry });
    if (entry.type !== 'file') continue;
    yield* createReadStream(join(root, entry.path), { highWaterMark: 1 << 20 }) as AsyncIterable<Buffer>;
    yield tarPadding(entry.size);
  }
  const directories = { etc: 0o755, root: 0o700, home: 0o755, 'home/node': 0o755, tmp: 0o1777 };
  for (const [path, mode] of Object.entries(directories))
    yield tarHeader({ ...plain, path, type: 'directory', size: 0, mode });
  for (const [path, text] of Object.entries(accounts)) yield* small(path, text);
  for (const applet of ['sh', 'cat', 'ls', 'env', 'id', 'mkdir', 'rm', 'cp', 'head', 'sleep'])
    yield tarHeader({
      ...plain,
      path: `bin/${applet}`,
      type: 'symlink',
      size: 0,
      mode: 0o777,
      linkTarget: 'busybox',
    });
  yield tarEnd();
}

async function* walk(
  root: string,
  below: string,
  recipe: Recipe,
): AsyncGenerator<Pick<TarEntry, 'path' | 'type' | 'size' | 'mode' | 'linkTarget'>> {
  const entries = await readdir(join(root, below), { withFileTypes: true });
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = below === '' ? entry.name : `${below}/${entry.name}`;
    if (recipe.excluded.test(path) || !recipe.included.some((one) => isOnPath(one, path))) continue;
    if (entry.isSymbolicLink())
      yield { path, type: 'symlink', size: 0, mode: 0o777, linkTarget: await readlink(join(root, path)) };
    else if (entry.isDirectory()) {
      yield { path, type: 'directory', size: 0, mode: 0o755 };
      yield* walk(root, path, recipe);
    } else {
      const { size, mode } = await stat(join(root, path));
      yield { path, type: 'file', size, mode: mode & 0o111 ? 0o755 : 0o644 };
    }
  }
}

/** Returns whether one of the paths is the other or a parent of it. */
function isOnPath(one: string, other: string): boolean {
  return one === other || one.startsWith(`${other}/`) || other.startsWith(`${one}/`);
}
