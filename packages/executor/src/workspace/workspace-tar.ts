import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { collect } from '@fumehood/base';
import { tarEnd, tarPadding } from '@fumehood/disk';
import { packFiles, type Repository, repositoryInvalid, type TreeEntry } from '@fumehood/git';
import { readObjects } from './git-objects.ts';
import type { WorkspaceFile } from './workspace-file.ts';
import { modes, tarMembers, type WorkspaceTar } from './tar-members.ts';
import { isCheckedOut, type SparseDirectories } from './sparse-checkout.ts';
import { fixedMtime, gitIndex } from './git-index.ts';

/** Bytes of the longest symlink target that Linux accepts. */
const linkMax = 4095;

/** The configuration of the repository in the workspace. It names no hook, filter or helper. */
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

/** A commit and its place in the workspace. */
export interface PlacedCommit {
  readonly repository: Repository;
  readonly tree: readonly TreeEntry[];
  /** A path from the top of the workspace; `''` is the top. */
  readonly directory: string;
  readonly sparse: SparseDirectories;
}

/**
 * Writes a workspace as a tar stream: the commit's files and its `.git`, as a clone with a checkout would have made them, and the
 * files of the job. No checkout runs: the files have exactly the bytes of the blobs. Errors: `repository_invalid`.
 */
export function workspaceTar(commit: PlacedCommit | null, extra: readonly WorkspaceFile[]): WorkspaceTar {
  const { header, directory, parents, entries } = tarMembers();
  const file = function* (path: string, content: Uint8Array | string, mtime = fixedMtime) {
    const bytes = Buffer.from(content as string);
    yield header({ path, type: 'file', size: bytes.length, mode: modes.file, mtime });
    yield bytes;
    yield tarPadding(bytes.length);
  };

  const gitDirectory = async function* ({ repository, tree, directory: top, sparse }: PlacedCommit) {
    const git = joinPath(top, '.git');
    yield* parents(git);
    for (const path of ['', '/objects', '/objects/info', '/objects/pack']) yield directory(`${git}${path}`);
    for (const path of ['/refs', '/refs/heads', '/refs/tags', '/info']) yield directory(`${git}${path}`);
    yield* file(`${git}/HEAD`, `${repository.commit}\n`);
    yield* file(`${git}/config`, sparse.length > 0 ? `${config}${sparseConfig}` : config);
    if (sparse.length > 0)
      yield* file(`${git}/info/sparse-checkout`, sparse.map((part) => `/${part}*\n`).join(''));
    if (repository.shallow) yield* file(`${git}/shallow`, `${repository.commit}\n`);
    // Git reads every file that is not older than the index, because it may have changed in the same second.
    const index = gitIndex(tree, sparse);
    const facts = { size: index.bytes, mode: modes.file, mtime: fixedMtime + 1 };
    yield header({ path: `${git}/index`, type: 'file', ...facts });
    yield* index.chunks;
    yield tarPadding(index.bytes);
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
      for await (const _chunk of commit.body); // the object has to be read to its end, though only its type is checked
      for (const entry of tree) {
        const path = joinPath(top, entry.path);
        yield* parents(path);
        if (entry.type === 'submodule') {
          yield directory(path);
          continue;
        }
        const { value: blob } = await objects.next();
        if (blob?.type !== 'blob' || blob.size !== entry.size)
          throw repositoryInvalid(`the object ${entry.object} differs from its tree entry`);
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
  return { bytes: bytes(), entries };
}

async function linkTarget(entry: TreeEntry, body: AsyncIterable<Buffer>): Promise<string> {
  if (entry.size === 0 || entry.size > linkMax)
    throw repositoryInvalid(`the symlink ${JSON.stringify(entry.path)} has a target of ${entry.size} bytes`);
  const target = (await collect(body, linkMax)).toString('latin1');
  if (target.includes('\0')) throw repositoryInvalid(`the symlink ${JSON.stringify(entry.path)} holds a NUL`);
  return target;
}

function joinPath(top: string, path: string): string {
  return top === '' ? path : `${top}/${path}`;
}
