import { defaultIndexerImages, type IndexerImages } from '@fumehood/index-config';
import { type IndexLanguage, type Indexers, indexLanguageSchema } from '@fumehood/protocol';
import { sql } from 'kysely';
import type { Db } from '../db/connect.ts';

/** Returns the image of each language's indexer, and whether it is the default. */
export async function listIndexers(db: Db): Promise<Indexers> {
  const { rows } = await sql<{
    language: string;
    image: string;
  }>`select language, image from indexer_images`.execute(db);
  const chosen = new Map(rows.map(({ language, image }) => [language, image]));
  return indexLanguageSchema.options.map((language) => ({
    language,
    image: chosen.get(language) ?? defaultIndexerImages[language],
    isDefault: !chosen.has(language),
  }));
}

/** Returns the image of each language's indexer. */
export async function readIndexers(db: Db): Promise<IndexerImages> {
  const entries = (await listIndexers(db)).map(({ language, image }) => [language, image] as const);
  return Object.fromEntries(entries) as IndexerImages;
}

/** Chooses the image of a language's indexer. */
export async function setIndexer(db: Db, language: IndexLanguage, image: string): Promise<void> {
  await sql`
    insert into indexer_images (language, image) values (${language}, ${image})
    on conflict (language) do update set image = excluded.image
  `.execute(db);
}

/** Lets the default image of a language's indexer count again. */
export async function resetIndexer(db: Db, language: IndexLanguage): Promise<void> {
  await sql`delete from indexer_images where language = ${language}`.execute(db);
}
