import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import {
  type Header,
  headerName,
  headerSchema,
  keyBytesMax,
  type Member,
  readArchive,
  readJson,
  sequencesName,
  sequencesSchema,
} from './archive.ts';
import type { Sequence } from './tables.ts';
import { backupInvalid } from './errors.ts';

/** What is in an archive besides the bytes of tables, images and commits. */
export interface Contents {
  readonly header: Header;
  readonly sequences: readonly Sequence[];
  readonly images: number;
  readonly commits: number;
}

/** Takes the members that are the key, tables, images and parts of repositories, and has to read them to their end. */
export type TakeMember = (member: Member, header: Header) => Promise<void>;

/** Reads the whole of a member, and leaves it. */
export const skipMember: TakeMember = async ({ body }) => {
  for await (const _chunk of body);
};

/**
 * Reads an archive from its beginning to its end, and checks everything in it that can be checked without a database: that it is whole
 * and unchanged, that its members are those of a backup and in their order, and the digests of images. Errors: `backup_invalid`, those
 * of the file and of `take`.
 */
export async function readBackup(
  path: string,
  take: TakeMember,
  onBytes: (bytes: number) => void,
): Promise<Contents> {
  const stream = createReadStream(path, { highWaterMark: 1_048_576 });
  stream.on('data', () => onBytes(stream.bytesRead));
  stream.pause(); // until the archive is read
  let header: Header | null = null;
  let sequences: readonly Sequence[] | null = null;
  const order = { key: 0, table: 1, blob: 2, repository: 3 };
  let reached = 0;
  const counts = { images: 0, commits: 0 };
  for await (const member of readArchive(stream)) {
    const { kind } = member.name;
    if (kind === 'header' || kind === 'sequences' || kind === 'end') {
      if (kind === 'header' && header === null) header = await readJson(member, headerSchema);
      else if (kind === 'sequences' && header !== null && sequences === null)
        sequences = await readJson(member, sequencesSchema);
      else throw backupInvalid(`${member.path} is not at its place`);
      continue;
    }
    if (!header || !sequences)
      throw backupInvalid(`it does not begin with ${headerName} and ${sequencesName}`);
    if (order[kind] < reached) throw backupInvalid(`${member.path} is not at its place`);
    reached = order[kind];
    if (kind === 'key' && member.size > keyBytesMax) throw backupInvalid(`${member.path} is too large`);
    if (kind === 'blob') counts.images += 1;
    if (kind === 'repository' && member.path.split('/').length === 3) counts.commits += 1;
    await take(kind === 'blob' ? withDigest(member) : member, header);
  }
  if (!header || !sequences) throw backupInvalid('it is empty');
  return { header, sequences, ...counts };
}

/** Returns an image whose bytes fail at their end unless they have the digest that is its name. */
function withDigest(member: Member): Member {
  const { name, path } = member;
  const body = async function* () {
    const hash = createHash('sha256');
    for await (const chunk of member.body) {
      hash.update(chunk);
      yield chunk;
    }
    if (name.kind === 'blob' && hash.digest('hex') !== name.hex)
      throw backupInvalid(`${path} does not have the digest that is its name`);
  };
  return { ...member, body: body() };
}
