import { type ReadEntry, readTar, tarEnd, tarPadding } from '@fumehood/disk';
import { pathChecker } from '@fumehood/git';
import { workspaceInvalid } from '../errors.ts';
import { modes, tarMembers, type WorkspaceTar } from './tar-members.ts';

/** The limits of an archive: those of a commit. */
const limits = { maxEntries: 500_000, maxBytes: 16 * 2 ** 30, maxExtensionBytes: 512 * 2 ** 20 } as const;
/** Bytes of the longest target of a symbolic link that Linux accepts. */
const linkMax = 4095;

/**
 * Checks the archive of a workspace, and writes it anew as a tar stream: files, symbolic links and empty directories, sorted by
 * the bytes of their paths, each once and none below another. Of a file, its bytes, its time and whether its owner may execute it are
 * kept. Errors of the stream: `job_refused`, `tar_invalid`, `tar_too_big`.
 */
export function archiveTar(archive: AsyncIterable<Uint8Array>): WorkspaceTar {
  const { header, parents, entries } = tarMembers();
  const check = pathChecker(workspaceInvalid);
  const bytes = async function* () {
    for await (const entry of readTar(archive, limits)) {
      check(entry.path);
      yield* parents(entry.path);
      yield header(memberOf(entry));
      if (entry.type !== 'file') continue;
      yield* entry.body;
      yield tarPadding(entry.size);
    }
    yield tarEnd();
  };
  return { bytes: bytes(), entries };
}

/** Returns what is kept of a member. Errors: `job_refused`. */
function memberOf({
  path,
  type,
  size,
  mode,
  mtime,
  linkTarget = '',
}: ReadEntry): Parameters<ReturnType<typeof tarMembers>['header']>[0] {
  const shown = JSON.stringify(Buffer.from(path.slice(0, 200), 'latin1').toString());
  if (type === 'directory') return { path, type, mtime };
  if (type === 'file') return { path, type, size, mtime, mode: mode & 0o100 ? modes.executable : modes.file };
  if (type !== 'symlink')
    throw workspaceInvalid(`${shown} is a ${type}, and no file, directory or symbolic link`);
  if (linkTarget === '' || linkTarget.length > linkMax || linkTarget.includes('\0'))
    throw workspaceInvalid(`the symbolic link ${shown} has an impossible target`);
  return { path, type, linkTarget, mtime };
}
