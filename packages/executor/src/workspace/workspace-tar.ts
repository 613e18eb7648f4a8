import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { collect } from '@fumehood/base';
import { type TarEntry, tarEnd, tarHeader, tarPadding } from '@fumehood/disk';
import { packFiles, type Repository, repositoryInvalid } from '@fumehood/git';
import { readObjects } from './git-objects.ts';
import type { WorkspaceFile } from './job-files.ts';
import { isCheckedOut, type SparseDirectories } from './sparse-checkout.ts';
import { fixedMtime, gitIndex } from './git-index.ts';
import type { TreeEntry } from './commit-tree.ts';

/** A step may run as anybody: everybody may write. Git looks at the owner's right to execute alone. */
const modes = { directory: 0o777, file: 0o666, executable: 0o777, symlink: 0o777 } as const;

/** The kernel's bound on a symlink's target. */
const linkMax = 4095;

/** Our own, whatever the repository would like: no hook, filter or helper is named in it. */
const config = `[core]
	repositoryformatversion = 0
	bare = false
	fileMode = true
	logAllRefUpdates = true
	trustctime = false
	checkStat = minimal
[gc]
	auto = 0
[maintenance]
	auto = false
`;

const sparseConfig = `[core]
	sparseCheckout = true
	sparseCheckoutCone = false
`;

export interface WorkspaceTar {
  readonly bytes: AsyncIterable<Uint8Array>;
  /** Members written so far. */
  entries(): number;
}

/** A commit and where in the workspace it lies; `''` is the top. */
export interface PlacedCommit {
  readonly repository: Repository;
  readonly tree: readonly TreeEntry[];
  readonly directory: string;
  readonly sparse: SparseDirectories;
}

/**
 * The commit's tree and a `.git` beside it as a tar stream: what a clone and a checkout would have left, without either. The
 * files' bytes are those of the blobs. Beside it, the files of the job. Errors: `repository_invalid`.
 */
export function workspaceTar(commit: PlacedCommit | null, extra: readonly WorkspaceFile[]): WorkspaceTar {
  let entries = 0;
  const made = new Set<string>();
  const header = (entry: Pick<TarEntry, 'path' | 'type'> & Partial<TarEntry>) => {
    entries += 1;
    return tarHeader({ size: 0, mode: modes.directory, uid: 0, gid: 0, mtime: fixedMtime, ...entry });
  };
  const directory = (path: string) => header({ path, type: 'directory' });
  const file = function* (path: string, content: Uint8Array | string, mtime = fixedMtime) {
    const bytes = Buffer.from(content as string);
    yield header({ path, type: 'file', size: bytes.length, mode: modes.file, mtime });
    yield bytes;
    yield tarPadding(bytes.length);
  };

  /** Those that are not there yet. */
  const parents = function* (path: string) {
    for (const parent of parentsOf(path)) {
      if (made.has(parent)) continue;
      made.add(parent);
      yield directory(parent);
    }
  };

  const gitDirectory = async function* ({ repository, tree, directory: top, sparse }: PlacedCommit) {
    const git = joined(top, '.git');
    yield* parents(git);
    for (const path of ['', '/objects', '/objects/info', '/objects/pack']) yield directory(`${git}${path}`);
    for (const path of ['/refs', '/refs/heads', '/refs/tags', '/info']) yield directory(`${git}${path}`);
    yield* file(`${git}/HEAD`, `${repository.commit}\n`);
    yield* file(`${git}/config`, sparse.length > 0 ? `${config}${sparseConfig}` : config);
    if (sparse.length > 0)
      yield* file(`${git}/info/sparse-checkout`, sparse.map((part) => `/${part}*\n`).join(''));
    if (repository.shallow) yield* file(`${git}/shallow`, `${repository.commit}\n`);
    // Younger than every file, else git takes them for changed in the same second and reads them all.
    yield* file(`${git}/index`, gitIndex(tree, sparse), fixedMtime + 1);
    for (const name of await packFiles(repository.packs)) {
      const path = join(repository.packs, name);
      const { size } = await stat(path);
      yield header({ path: `${git}/objects/pack/${name}`, type: 'file', size, mode: 0o444 });
      yield* createReadStream(path, { end: size - 1, highWaterMark: 1 << 20 }) as AsyncIterable<Buffer>;
      yield tarPadding(size);
    }
  };

  const files = async function* ({ repository, tree: whole, directory: top, sparse }: PlacedCommit) {
    const tree = whole.filter((entry) => isCheckedOut(entry.path, sparse));
    const blobs = tree.filter((entry) => entry.type !== 'submodule');
    const objects = readObjects(repository, [repository.commit, ...blobs.map((entry) => entry.object)]);
    try {
      const { value: commit } = await objects.next();
      if (commit?.type !== 'commit') throw repositoryInvalid(`${repository.commit} is not a commit`);
      for await (const _chunk of commit.body); // only its type was wanted
      for (const entry of tree) {
        const path = joined(top, entry.path);
        yield* parents(path);
        if (entry.type === 'submodule') {
          yield directory(path);
          continue;
        }
        const { value: blob } = await objects.next();
        if (blob?.type !== 'blob' || blob.size !== entry.size)
          throw repositoryInvalid(`the object ${entry.object} is not what its tree says`);
        if (entry.type === 'symlink') {
          yield header({ path, type: 'symlink', linkTarget: await linkTarget(entry, blob.body) });
          continue;
        }
        yield header({ path, type: 'file', size: entry.size, mode: modes[entry.type] });
        yield* blob.body;
        yield tarPadding(entry.size);
      }
    } finally {
      await objects.return(undefined);
    }
  };

  const bytes = async function* () {
    if (commit) {
      yield* gitDirectory(commit);
      yield* files(commit);
    }
    for (const { path, content, mtime } of extra) {
      yield* parents(path);
      yield* file(path, content, mtime);
    }
    yield tarEnd();
  };
  return { bytes: bytes(), entries: () => entries };
}

async function linkTarget(entry: TreeEntry, body: AsyncIterable<Buffer>): Promise<string> {
  if (entry.size === 0 || entry.size > linkMax)
    throw repositoryInvalid(`the symlink ${JSON.stringify(entry.path)} has a target of ${entry.size} bytes`);
  const target = (await collect(body, linkMax)).toString('latin1');
  if (target.includes('\0')) throw repositoryInvalid(`the symlink ${JSON.stringify(entry.path)} holds a NUL`);
  return target;
}

function joined(top: string, path: string): string {
  return top === '' ? path : `${top}/${path}`;
}

/** `a`, `a/b` for `a/b/c`. */
function parentsOf(path: string): string[] {
  const parents: string[] = [];
  for (let end = path.indexOf('/'); end >= 0; end = path.indexOf('/', end + 1))
    parents.push(path.slice(0, end));
  return parents;
}
