import { Readable } from 'node:stream';
import { sql } from 'kysely';
import type { Db } from '../db/connect.ts';
import type { Mirrors } from '../repos/mirrors.ts';
import type { Source } from './source.ts';

/** A mirror of all branches and tags of a source. */
interface Mirrored {
  readonly place: string;
  /** The object, the name, and what an annotated tag points to, of each branch and tag. */
  readonly refs: readonly (readonly string[])[];
}

/** Mirrors a source as it is now. */
export async function mirrorSource(mirrors: Mirrors, source: Source): Promise<Mirrored> {
  const { place, mirror } = await mirrors.make();
  const lines = source.git(['for-each-ref', '--format=%(objectname) %(refname) %(*objectname)']).split('\n');
  const refs = lines.map((line) => line.split(' '));
  const pack = source.pack(refs.map(([object]) => `${object}\n`).join(''), '--revs');
  const named = new Map(refs.map(([object = '', ref = '']) => [ref, object]));
  await mirror.update({ head: 'refs/heads/main', refs: named }, Readable.from([pack]));
  return { place, refs };
}

/** Stores a repository with this mirror, as after a sync. */
export async function storeMirrored(db: Db, name: string, { place, refs }: Mirrored): Promise<void> {
  await sql`
    insert into repositories (name, url, sync_interval, place, head) values (${name}, 'http://x', '1 h', ${place}, 'refs/heads/main')
  `.execute(db);
  for (const [object, ref, peeled] of refs)
    await sql`
      insert into repository_refs (repository_id, name, object, commit)
      select id, ${ref}, ${object}, ${peeled || object} from repositories where name = ${name}
    `.execute(db);
}
