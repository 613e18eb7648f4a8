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
import { GloveboxError } from '@glovebox/base';
import { type TarEntry, tarEnd, tarHeader, tarPadding } from '@glovebox/disk';
import { writeImageArchive } from '@glovebox/oci';

const run = promisify(execFile);

/** What Node is linked with, and a shell for jobs that have commands of their own. */
const debianPackages = ['libc6', 'libstdc++6', 'libgcc-s1', 'libatomic1', 'busybox-static'];
/** What the image takes of the tree; of the Debian packages the rest is documentation. */
const wanted = [
  'bin/busybox',
  'lib64',
  'lib/x86_64-linux-gnu',
  'usr/lib/x86_64-linux-gnu',
  'usr/bin/node',
  'opt/scip-typescript',
];
/** Never read by an indexer, and half of the image. */
const unwanted =
  /\/(docs?|gconv|audit)(\/|$)|\.(md|map)$|typescript\/lib\/((_?tsc|_?tsserver|_?typingsInstaller|watchGuard|tsserverlibrary)\.js|[a-z]{2}(-[a-z]+)?(\/|$))|\.test\.js$|typescript\/bin/;

const accounts: Readonly<Record<string, string>> = {
  'etc/passwd': 'root:x:0:0:root:/root:/bin/sh\nnode:x:1000:1000::/home/node:/bin/sh\n',
  'etc/group': 'root:x:0:\nnode:x:1000:\n',
};

/**
 * Builds the image of the TypeScript indexer from npm and Debian packages, once for each state of this recipe: the pinned
 * Node, `@sourcegraph/scip-typescript` by its lock file, the C libraries, and busybox as its shell. Its entrypoint is the indexer.
 * Errors: `tool_failed`.
 */
export async function build(options: {
  readonly directory: string;
  readonly onProgress: (line: string) => void;
}): Promise<{ readonly archive: string; readonly digest: string }> {
  const { directory, onProgress } = options;
  const key = await recipeKey();
  const archive = join(directory, `${key}.tar`);
  const digestFile = join(directory, `${key}.digest`);
  if (existsSync(digestFile)) return { archive, digest: await readFile(digestFile, 'utf8') };
  await mkdir(directory, { recursive: true });
  const work = await mkdtemp(join(tmpdir(), 'glovebox-image-'));
  try {
    const root = join(work, 'root');
    onProgress('image scip-typescript: fetching Debian packages');
    await unpackDebian(work, root);
    onProgress('image scip-typescript: installing the indexer');
    await installIndexer(join(root, 'opt/scip-typescript'));
    await mkdir(join(root, 'usr/bin'), { recursive: true });
    await copyFile(process.execPath, join(root, 'usr/bin/node'));
    onProgress('image scip-typescript: writing the archive');
    const layerFile = join(work, 'layer.tar');
    await pipeline(Readable.from(layer(root)), createWriteStream(layerFile));
    const staged = join(directory, `.${key}.partial`);
    const { digest } = await writeImageArchive(staged, { config, layerFile });
    await rename(staged, archive);
    await writeFile(digestFile, digest);
    return { archive, digest };
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

const config = {
  env: ['PATH=/usr/bin:/bin', 'HOME=/root'],
  entrypoint: [
    '/usr/bin/node',
    '/opt/scip-typescript/node_modules/@sourcegraph/scip-typescript/dist/src/main.js',
  ],
  cmd: ['index'],
  user: '',
  workingDir: '/',
};

async function recipeKey(): Promise<string> {
  const hash = createHash('sha256').update(process.version);
  for (const name of ['build.ts', 'indexer/package-lock.json'])
    hash.update(await readFile(join(import.meta.dirname, name)));
  return hash.digest('hex').slice(0, 16);
}

async function unpackDebian(work: string, root: string): Promise<void> {
  const packages = join(work, 'packages');
  await mkdir(packages);
  await mkdir(root);
  await tool('apt-get', ['download', ...debianPackages], packages);
  for (const name of await readdir(packages)) await tool('dpkg-deb', ['-x', name, root], packages);
}

async function installIndexer(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true });
  for (const name of ['package.json', 'package-lock.json'])
    await copyFile(join(import.meta.dirname, 'indexer', name), join(directory, name));
  const flags = ['--ignore-scripts', '--omit=dev', '--no-audit', '--no-fund', '--no-bin-links'];
  await tool('npm', ['ci', ...flags], directory);
}

async function tool(name: string, args: readonly string[], cwd: string): Promise<void> {
  try {
    await run(name, args, { cwd, maxBuffer: 2 ** 24 });
  } catch (error) {
    const { stderr, message } = error as Error & { stderr?: string };
    throw new GloveboxError({
      code: 'tool_failed',
      message: `${name} ${args[0]} failed: ${(stderr || message).trim().slice(-500)}`,
      remedy:
        name === 'apt-get'
          ? 'Refresh the package lists: `apt-get update`.'
          : 'Check the network, and try again.',
    });
  }
}

/** The tree as one layer: sorted, everything root's and of time 0, so that equal contents are one image. */
async function* layer(root: string): AsyncGenerator<Buffer> {
  const plain = { uid: 0, gid: 0, mtime: 0 } as const;
  const small = function* (path: string, text: string) {
    const bytes = Buffer.from(text);
    yield tarHeader({ ...plain, path, type: 'file', size: bytes.length, mode: 0o644 });
    yield bytes;
    yield tarPadding(bytes.length);
  };
  for await (const entry of walk(root, '')) {
    yield tarHeader({ ...plain, ...entry });
    if (entry.type !== 'file') continue;
    yield* createReadStream(join(root, entry.path), { highWaterMark: 1 << 20 }) as AsyncIterable<Buffer>;
    yield tarPadding(entry.size);
  }
  const made = { etc: 0o755, root: 0o700, home: 0o755, 'home/node': 0o755, tmp: 0o1777 };
  for (const [path, mode] of Object.entries(made))
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
): AsyncGenerator<Pick<TarEntry, 'path' | 'type' | 'size' | 'mode' | 'linkTarget'>> {
  const entries = await readdir(join(root, below), { withFileTypes: true });
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = below === '' ? entry.name : `${below}/${entry.name}`;
    if (unwanted.test(path) || !wanted.some((one) => onOneLine(one, path))) continue;
    if (entry.isSymbolicLink())
      yield { path, type: 'symlink', size: 0, mode: 0o777, linkTarget: await readlink(join(root, path)) };
    else if (entry.isDirectory()) {
      yield { path, type: 'directory', size: 0, mode: 0o755 };
      yield* walk(root, path);
    } else {
      const { size, mode } = await stat(join(root, path));
      yield { path, type: 'file', size, mode: mode & 0o111 ? 0o755 : 0o644 };
    }
  }
}

/** Whether one path is the other, or leads to it. */
function onOneLine(one: string, other: string): boolean {
  return one === other || one.startsWith(`${other}/`) || other.startsWith(`${one}/`);
}
