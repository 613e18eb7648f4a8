export type TarType = 'file' | 'directory' | 'symlink' | 'hardlink' | 'character' | 'block' | 'fifo';

/** A member of a tar archive. Names are byte strings in `latin1`, because a tar promises no encoding. */
export interface TarEntry {
  /** As it is written, without a trailing slash. Not checked: whoever uses it normalizes it. */
  readonly path: string;
  readonly type: TarType;
  /** Bytes of the body; 0 for everything but files. */
  readonly size: number;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Seconds since 1970. */
  readonly mtime: number;
  /** Target of a symlink or hardlink. */
  readonly linkTarget?: string;
  /** Extended attributes by name; values as byte strings. */
  readonly xattrs?: Readonly<Record<string, string>>;
}

export const tarTypes: Readonly<Record<string, TarType>> = {
  '0': 'file',
  '\0': 'file',
  '7': 'file',
  '1': 'hardlink',
  '2': 'symlink',
  '3': 'character',
  '4': 'block',
  '5': 'directory',
  '6': 'fifo',
};
