import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { connect } from '../db/connect.ts';
import { migrate } from '../db/migrate.ts';
import { migrations, openTestServer } from '../db/testing.ts';
import { definitionsAt } from './read.ts';
import { readOccurrences } from './sql/parts.ts';

test('an index that an older build has stored answers after the upgrade', async () => {
  const server = openTestServer();
  const db = connect(await server.clone(), { connections: 1 });
  try {
    // As it was before the migrations.
    await sql`drop table document_parts, symbol_relations, index_documents, document_symbols, documents`.execute(
      db,
    );
    await sql`drop index uploads_latest`.execute(db);
    await sql`delete from kysely_migration where name in ('0032_documents', '0036_document_parts')`.execute(
      db,
    );
    // The job of the upload is not needed here.
    await sql`alter table uploads drop constraint uploads_job_id_fkey`.execute(db);
    const occurrences = JSON.stringify([
      [1, 2, 1, 5, 's m p 1 a.', 1],
      [3, 0, 3, 3, 's m p 1 a.', 0],
      [4, 0, 4, 3, 'local 1', 1],
    ]);
    const { rows } = await sql<{ id: number }>`
      insert into uploads (repository, commit, root, indexer, indexer_version, job_id)
      values ('acme/a', 'c', '', 'i', '1', 1) returning id
    `.execute(db);
    const id = rows[0]?.id ?? 0;
    await sql`insert into upload_documents values (${id}, 'a.ts', ${occurrences}::jsonb)`.execute(db);
    await migrate(db, migrations);
    // A replica of the older build stores another one.
    await sql`
      with document as (
        insert into documents (sha256, path, occurrences, occurrence_count, symbol_count)
        values ('', 'b.ts', ${occurrences}::jsonb, 3, 0) returning id
      )
      insert into index_documents select ${id}, 'b.ts', id from document
    `.execute(db);
    expect(await readOccurrences(db, id, 'b.ts')).toEqual(JSON.parse(occurrences));
    expect(await readOccurrences(db, id, 'a.ts')).toEqual(JSON.parse(occurrences));
    expect(await definitionsAt(db, id, { path: 'a.ts', line: 3, character: 1 })).toEqual([
      { path: 'a.ts', line: 1, character: 2, symbol: 's m p 1 a.' },
    ]);
  } finally {
    await db.destroy();
    await server.stop();
  }
});
