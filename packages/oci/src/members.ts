import { createReadStream } from 'node:fs';
import { posix } from 'node:path';
import { collect, FumehoodError } from '@fumehood/base';
import { readTar } from '@fumehood/disk';
import { compressionOf } from './compression.ts';
import { documentMax } from './documents.ts';
import { imageInvalid } from './errors.ts';
import { shownPath } from './paths.ts';

/** Where a file is in an archive, bytes. */
export interface Place {
  readonly offset: number;
  readonly size: number;
}

/** The files in an archive. */
export interface Members {
  readonly file: string;
  has(path: string): boolean;
  /** Returns the place of a file, also by way of links; `what` says which one it is. Errors: `image_invalid` if it is missing. */
  place(path: string, what: string): Place;
  /** Reads a JSON document. Errors: `image_invalid`. */
  document(path: string): Promise<Buffer>;
}

const membersMax = 100_000;
const linksMax = 40;

/** Lists the files of a tar archive. Errors: `image_invalid`. */
export async function listMembers(file: string): Promise<Members> {
  const compression = await compressionOf(file);
  if (compression)
    throw imageInvalid(
      `the archive is compressed with ${compression}`,
      `Decompress it first: \`${{ gzip: 'gunzip', zstd: 'zstd -d', bzip2: 'bunzip2', xz: 'unxz' }[compression]} FILE\`.`,
    );
  // A place, the path that a link points to, or null for a sparse file.
  const members = new Map<string, Place | string | null>();
  try {
    const limits = { maxEntries: membersMax };
    for await (const entry of readTar(createReadStream(file, { highWaterMark: 1 << 20 }), limits)) {
      const { path, type, size, bodyOffset, linkTarget = '' } = entry;
      const name = inArchive(path);
      if (type === 'file') members.set(name, bodyOffset === null ? null : { offset: bodyOffset, size });
      if (type === 'symlink') members.set(name, inArchive(posix.join(posix.dirname(name), linkTarget)));
      if (type === 'hardlink') members.set(name, inArchive(linkTarget));
    }
  } catch (error) {
    throw error instanceof FumehoodError ? imageInvalid(error.message) : error;
  }

  const place = (path: string, what: string): Place => {
    let at = inArchive(path);
    for (let links = 0; links <= linksMax; links++) {
      const member = members.get(at);
      if (member === undefined)
        throw imageInvalid(`${what} is missing: the archive has no file ${shownPath(at)}`);
      if (member === null)
        throw imageInvalid(
          `${what} is stored as a sparse file`,
          'Make the archive again without the option `--sparse` of tar.',
        );
      if (typeof member !== 'string') return member;
      at = member;
    }
    throw imageInvalid(`${what} is a loop of links`);
  };
  return {
    file,
    has: (path) => members.has(path),
    place,
    async document(path) {
      const { offset, size } = place(path, path);
      if (size > documentMax) throw imageInvalid(`${path} has ${size} bytes`);
      if (size === 0) return Buffer.alloc(0);
      return collect(createReadStream(file, { start: offset, end: offset + size - 1 }), size);
    },
  };
}

/** Returns a path in an archive in its shortest form: without a slash or dots at its start. */
function inArchive(path: string): string {
  return posix.join('/', path).slice(1);
}
