/** A file or directory of an initramfs. */
export interface CpioEntry {
  readonly path: string;
  /** Permissions, e.g. 0o755. */
  readonly mode: number;
  /** Content of a file; absent for a directory. */
  readonly content?: Uint8Array;
}

/**
 * Returns an initramfs archive in the kernel's `newc` format (Documentation/driver-api/early-userspace/buffer-format.rst). Root
 * owns every entry and all times are 0, so that equal input gives equal bytes.
 */
export function cpio(entries: readonly CpioEntry[]): Buffer {
  const parts: Buffer[] = [];
  const add = (path: string, mode: number, content: Uint8Array, inode: number) => {
    const name = Buffer.from(`${path}\0`);
    const fields = [inode, mode, 0, 0, 1, 0, content.length, 0, 0, 0, 0, name.length, 0];
    const header = Buffer.from(
      `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`,
    );
    parts.push(header, name, padding(header.length + name.length));
    parts.push(Buffer.from(content), padding(content.length));
  };
  const none = new Uint8Array();
  entries.forEach((entry, index) => {
    const kind = entry.content ? 0o100000 : 0o040000;
    add(entry.path, kind | entry.mode, entry.content ?? none, index + 1);
  });
  add('TRAILER!!!', 0, none, 0);
  return Buffer.concat(parts);
}

function padding(size: number): Buffer {
  return Buffer.alloc((4 - (size % 4)) % 4);
}
