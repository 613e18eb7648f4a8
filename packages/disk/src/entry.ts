/** Bytes of a block of a tar archive. */
export const blockSize = 512;

/** The type of a member. */
export type TarType = 'file' | 'directory' | 'symlink' | 'hardlink' | 'character' | 'block' | 'fifo';

/** A member of a tar archive. Names are byte strings in `latin1`, because a tar has no defined encoding. */
export interface TarEntry {
  /** The name in the archive without a trailing slash. It is not checked: callers normalize it. */
  readonly path: string;
  readonly type: TarType;
  /** Bytes of the body; 0 for everything except files. */
  readonly size: number;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Seconds since 1970. */
  readonly mtime: number;
  /** Target of a symlink or hardlink. */
  readonly linkTarget?: string;
  /** Major and minor number of a device node. */
  readonly device?: readonly [major: number, minor: number];
  /** Extended attributes by name. The values are byte strings. */
  readonly xattrs?: Readonly<Record<string, string>>;
}

/** The type of a member by its type flag. */
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
