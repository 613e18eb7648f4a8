import type { Client } from 'pg';

/** A table of the product's schema. */
export interface Table {
  readonly name: string;
  /** Those that hold a value of their own: what PostgreSQL computes is left out. */
  readonly columns: readonly string[];
}

/** The tables of the migrations themselves, which whoever makes the schema fills. */
const ofMigrations = ['kysely_migration', 'kysely_migration_lock'];

/** Returns the tables of the schema, each after those that its foreign keys refer to. */
export async function readTables(client: Client): Promise<Table[]> {
  const { rows } = await client.query<{ name: string; columns: string[]; refers: string[] }>(
    `
    select relname as name,
      array(
        select attname::text from pg_attribute
        where attrelid = class.oid and attnum > 0 and not attisdropped and attgenerated = '' order by attnum
      ) as columns,
      array(
        select distinct target.relname::text from pg_constraint join pg_class target on target.oid = confrelid
        where contype = 'f' and conrelid = class.oid and confrelid <> conrelid
      ) as refers
    from pg_class class
    where relnamespace = current_schema()::regnamespace and relkind = 'r' and relname <> all($1)
    order by relname
  `,
    [ofMigrations],
  );
  return inOrder(rows);
}

/** Returns the tables, each after those that it refers to. Tables that refer to each other in a circle come last. */
export function inOrder(tables: readonly (Table & { readonly refers: readonly string[] })[]): Table[] {
  const ordered: Table[] = [];
  const done = new Set<string>();
  let left = tables;
  while (left.length > 0) {
    const ready = left.filter(({ refers }) => refers.every((name) => done.has(name)));
    const next = ready.length > 0 ? ready : left;
    for (const { name, columns } of next) {
      done.add(name);
      ordered.push({ name, columns });
    }
    left = left.filter(({ name }) => !done.has(name));
  }
  return ordered;
}

/** Returns the statement that copies a table out, or in. The names are of PostgreSQL's catalog, or checked against it. */
export function copyStatement({ name, columns }: Table, direction: 'to stdout' | 'from stdin'): string {
  const quoted = (identifier: string) => `"${identifier.replaceAll('"', '""')}"`;
  return `copy ${quoted(name)} (${columns.map(quoted).join(', ')}) ${direction}`;
}

/** How far a sequence has counted. */
export interface Sequence {
  readonly name: string;
  /** A number, as text. */
  readonly last: string;
  readonly isCalled: boolean;
}

/** Returns the sequences of the schema. They are in no transaction: read after a snapshot, none is behind what it shows. */
export async function readSequences(client: Client): Promise<Sequence[]> {
  const { rows } = await client.query<{ name: string }>(`
    select relname as name from pg_class
    where relnamespace = current_schema()::regnamespace and relkind = 'S' order by relname
  `);
  const sequences: Sequence[] = [];
  for (const { name } of rows) {
    const quoted = `"${name.replaceAll('"', '""')}"`;
    const { rows: values } = await client.query<{ last: string; isCalled: boolean }>(
      `select last_value::text as last, is_called as "isCalled" from ${quoted}`,
    );
    for (const value of values) sequences.push({ name, ...value });
  }
  return sequences;
}

/** Returns the names of the migrations that the database has had, in their order; none for a database without a schema. */
export async function readMigrations(client: Client): Promise<string[]> {
  const { rows: found } = await client.query(
    `select from pg_class where oid = to_regclass('kysely_migration')`,
  );
  if (found.length === 0) return [];
  const { rows } = await client.query<{ name: string }>('select name from kysely_migration order by name');
  return rows.map(({ name }) => name);
}
