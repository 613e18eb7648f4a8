import { type TarEntry, tarHeader } from '@fumehood/disk';
import { fixedMtime } from './git-index.ts';

/** A workspace as a tar stream. */
export interface WorkspaceTar {
  readonly bytes: AsyncIterable<Uint8Array>;
  /** Returns the number of members that were written so far. */
  entries(): number;
}

/** Everybody may write, because a step may run as any user. Git compares only the owner's permission to execute. */
export const modes = { directory: 0o777, file: 0o666, executable: 0o777, symlink: 0o777 } as const;

/** Makes the headers of the members of one workspace, and counts them. */
export interface TarMembers {
  readonly header: (entry: Pick<TarEntry, 'path' | 'type'> & Partial<TarEntry>) => Buffer;
  readonly directory: (path: string) => Buffer;
  /** Yields the parent directories of the path that were not written yet, outermost first. */
  readonly parents: (path: string) => Generator<Buffer>;
  readonly entries: () => number;
}

/** Begins the members of one workspace. */
export function tarMembers(): TarMembers {
  let entries = 0;
  const made = new Set<string>();
  const header: TarMembers['header'] = (entry) => {
    entries += 1;
    return tarHeader({ size: 0, mode: modes.directory, uid: 0, gid: 0, mtime: fixedMtime, ...entry });
  };
  const directory = (path: string) => header({ path, type: 'directory' });
  return {
    header,
    directory,
    *parents(path) {
      const missing: string[] = [];
      for (let end = path.lastIndexOf('/'); end > 0; end = path.lastIndexOf('/', end - 1)) {
        const parent = path.slice(0, end);
        if (made.has(parent)) break;
        made.add(parent);
        missing.push(parent);
      }
      for (const parent of missing.toReversed()) yield directory(parent);
    },
    entries: () => entries,
  };
}
