import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { type ReadEntry, readTar, type TarEntry, tarEnd, tarHeader, tarPadding } from '@fumehood/disk';
import * as z from 'zod';
import { backupInvalid } from './errors.ts';

/** The version of the format that this build writes, and the only one that it reads. */
const format = 1;

/** The first member says what the archive is of. */
export const headerName = 'fumehood-backup.json';
export const headerSchema = z.object({
  format: z.literal(format),
  /** The version of Fumehood that wrote it. */
  version: z.string().max(100),
  madeAt: z.iso.datetime(),
  /** The migrations that the database has had. */
  migrations: z
    .array(z.string().regex(/^\d{4}_\w{1,100}$/))
    .max(10_000)
    .readonly(),
  /** The tables, each after those that its foreign keys refer to. */
  tables: z
    .array(
      z.object({
        name: z.string().regex(/^\w{1,63}$/),
        columns: z
          .array(z.string().regex(/^\w{1,63}$/))
          .max(1_600)
          .readonly(),
      }),
    )
    .max(10_000)
    .readonly(),
});
export type Header = z.output<typeof headerSchema>;

/** The second member has the sequences. */
export const sequencesName = 'sequences.json';
export const sequencesSchema = z
  .array(
    z.object({
      name: z.string().regex(/^\w{1,63}$/),
      last: z.string().regex(/^\d{1,19}$/),
      isCalled: z.boolean(),
    }),
  )
  .max(10_000);

/** Then comes the key of the instance's secrets, if the admin wants it there. */
export const keyName = 'secrets-key';
/** Bytes of a key file, at most. */
export const keyBytesMax = 1_000;

/** The last member says how many members are before it, and the digest of all of them. An archive without it was cut off. */
const endName = 'end.json';
const endSchema = z.object({ members: z.int(), sha256: z.string().regex(/^[0-9a-f]{64}$/) });

/** Bytes of a member that is JSON, at most. */
const jsonMax = 8 * 2 ** 20;

/** What a member is, by its name. */
export type MemberName =
  | { readonly kind: 'header' | 'sequences' | 'key' | 'end' }
  | { readonly kind: 'table'; readonly table: string }
  | { readonly kind: 'blob'; readonly hex: string }
  | { readonly kind: 'repository' };

const patterns = {
  table: /^tables\/(\w{1,63})\/\d{1,12}$/,
  blob: /^blobs\/([0-9a-f]{64})$/,
  // Of a bare repository; no part of a path is `.` or `..`.
  repository: /^repositories\/[0-9a-f]{32}\/[0-9a-f]{40,64}\.git(\/(?!\.{1,2}(\/|$))[\w.-]{1,255}){0,6}$/,
};

/** Returns what a member is. Errors: `backup_invalid` for a name that no backup has. */
export function memberName(path: string): MemberName {
  if (path === headerName) return { kind: 'header' };
  if (path === sequencesName) return { kind: 'sequences' };
  if (path === keyName) return { kind: 'key' };
  if (path === endName) return { kind: 'end' };
  const table = patterns.table.exec(path)?.[1];
  if (table !== undefined) return { kind: 'table', table };
  const hex = patterns.blob.exec(path)?.[1];
  if (hex !== undefined) return { kind: 'blob', hex };
  if (patterns.repository.test(path)) return { kind: 'repository' };
  throw backupInvalid(`it has a member ${JSON.stringify(path.slice(0, 200))}, which no backup has`);
}

/** The digest of members: of their names, types, modes, sizes and bytes, in their order. */
function membersHash() {
  const hash = createHash('sha256');
  let members = 0;
  return {
    begin({ path, type, mode, size }: Pick<TarEntry, 'path' | 'type' | 'mode' | 'size'>) {
      members += 1;
      hash.update(`${path}\0${type} ${mode} ${size}\n`);
    },
    update: (bytes: Uint8Array) => void hash.update(bytes),
    end: () => ({ members, sha256: hash.digest('hex') }),
  };
}

/** Writes the members of an archive to a file, one after the other. */
export class ArchiveWriter {
  readonly #file: FileHandle;
  readonly #hash = membersHash();
  readonly #onBytes: (bytes: number) => void;
  /** Bytes so far. */
  bytes = 0;

  /** `onBytes` is called with the bytes so far, often. */
  constructor(file: FileHandle, onBytes: (bytes: number) => void) {
    this.#file = file;
    this.#onBytes = onBytes;
  }

  /** Adds a file of `size` bytes. Throws a `RangeError` if there are more or fewer. */
  async addFile(path: string, size: number, bytes: AsyncIterable<Buffer> | readonly Buffer[], mode = 0o600) {
    await this.#begin(path, 'file', size, mode);
    let left = size;
    for await (const chunk of bytes) {
      left -= chunk.length;
      this.#hash.update(chunk);
      await this.#write(chunk);
    }
    if (left !== 0) throw new RangeError(`${path} has ${size - left} bytes in place of ${size}`);
    await this.#write(tarPadding(size));
  }

  async addDirectory(path: string, mode: number) {
    await this.#begin(path, 'directory', 0, mode);
  }

  async addJson(path: string, value: unknown) {
    const text = Buffer.from(JSON.stringify(value));
    await this.addFile(path, text.length, [text]);
  }

  /** Adds the last member and the end. */
  async finish() {
    const end = Buffer.from(JSON.stringify(this.#hash.end()));
    await this.#write(tarHeader(entryOf(endName, 'file', end.length, 0o600)));
    await this.#write(Buffer.concat([end, tarPadding(end.length), tarEnd()]));
  }

  async #begin(path: string, type: 'file' | 'directory', size: number, mode: number) {
    const entry = entryOf(path, type, size, mode);
    this.#hash.begin(entry);
    await this.#write(tarHeader(entry));
  }

  async #write(bytes: Buffer) {
    if (bytes.length === 0) return;
    await this.#file.appendFile(bytes);
    this.bytes += bytes.length;
    this.#onBytes(this.bytes);
  }
}

const entryOf = (path: string, type: 'file' | 'directory', size: number, mode: number): TarEntry => ({
  ...{ path, type, size, mode, uid: 0, gid: 0, mtime: 0 },
});

/** A member that was read. */
export interface Member extends MemberFacts {
  readonly name: MemberName;
  readonly body: AsyncIterable<Buffer>;
}
type MemberFacts = Pick<ReadEntry, 'path' | 'type' | 'mode' | 'size'>;

/**
 * Reads the members of an archive, in their order, without the last one, which it checks: whoever has got all of them has got what
 * `ArchiveWriter` was given. Errors: `backup_invalid`, and those of the stream.
 */
export async function* readArchive(stream: AsyncIterable<Uint8Array>): AsyncGenerator<Member> {
  const hash = membersHash();
  let isWhole = false;
  try {
    const limits = { maxEntries: Infinity, maxBytes: Infinity, maxExtensionBytes: Infinity };
    for await (const { path, type, mode, size, body } of readTar(stream, limits)) {
      if (isWhole) throw backupInvalid('it goes on after its end');
      const name = memberName(path);
      if (type !== 'file' && !(type === 'directory' && name.kind === 'repository'))
        throw backupInvalid(`${path} is a ${type}`);
      if (name.kind === 'end') {
        const stated = await readJson({ path, size, body: hashed(body, () => {}) }, endSchema);
        const { members, sha256 } = hash.end();
        if (stated.members !== members || stated.sha256 !== sha256)
          throw backupInvalid('its bytes do not have the digest that it states');
        isWhole = true;
        continue;
      }
      hash.begin({ path, type, mode, size });
      yield { path, type, mode, size, name, body: hashed(body, hash.update) };
    }
  } catch (error) {
    throw ofBackup(error);
  }
  if (!isWhole) throw backupInvalid('its end is missing');
}

async function* hashed(body: AsyncIterable<Buffer>, update: (bytes: Buffer) => void) {
  try {
    for await (const chunk of body) {
      update(chunk);
      yield chunk;
    }
  } catch (error) {
    throw ofBackup(error);
  }
}

/** Returns what an error of the reader of tar says of a backup. */
function ofBackup(error: unknown): unknown {
  const { code, message } = error as { code?: string; message: string };
  return code === 'tar_invalid' || code === 'tar_too_big' ? backupInvalid(message) : error;
}

/** Reads a member that is JSON. Errors: `backup_invalid`. */
export async function readJson<T>(
  { path, size, body }: Pick<Member, 'path' | 'size' | 'body'>,
  schema: z.ZodType<T>,
): Promise<T> {
  if (size > jsonMax) throw backupInvalid(`${path} has ${size} bytes`);
  const chunks: Buffer[] = [];
  for await (const chunk of body) chunks.push(chunk);
  let value: unknown;
  try {
    value = JSON.parse(Buffer.concat(chunks).toString());
  } catch {
    throw backupInvalid(`${path} is not JSON`);
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw backupInvalid(`${path} is not what a backup has there`);
  return parsed.data;
}
