import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connect, type Db } from '../db/connect.ts';
import { openTestServer, type TestServer } from '../db/testing.ts';
import type { Leased } from '../queue/queue.ts';
import { leaseOf, testQueue } from '../queue/testing.ts';
import { scipDocument, scipExternal, scipFile, scipIndex } from '../testing/scip.ts';
import type { Mirrors } from '../repos/mirrors.ts';
import {
  findCallers,
  findDefinitions,
  findHover,
  findImplementations,
  findReferences,
  findSymbols,
} from './answers.ts';
import { readOccurrences } from './sql/parts.ts';
import { readUpload } from './sql/uploads.ts';
import { storeUpload } from './store.ts';

// What scip-typescript 0.4.0 wrote of four small files.
const greeter = gunzipSync(
  Buffer.from(readFileSync(join(import.meta.dirname, 'testing/greeter.scip.gz.base64'), 'utf8'), 'base64'),
);
const commit = '0'.repeat(40);
const repository = 'acme/greeter';
const greeterSymbol = (name: string) => `scip-typescript npm @acme/greeter 0.3.1 src/${name}`;

let server: TestServer;
let db: Db;
const { add, take } = testQueue(() => db);
beforeAll(async () => {
  server = openTestServer();
  db = connect(await server.clone());
  await store(repository, greeter);
});
afterAll(async () => {
  await db.destroy();
  await server.stop();
});

async function store(name: string, index: Buffer): Promise<number> {
  await add({ queue: 'codeintel', repository: name, commit });
  const grant = { ...leaseOf((await take({ queues: ['codeintel'] }, 86_400_000)) as Leased), root: null };
  const place = { repository: name, commit, root: '', indexer: 'scip', indexerVersion: '1' };
  return await storeUpload(
    db,
    { grant },
    place,
    (async function* chunks() {
      yield index;
    })(),
  );
}
// The repositories of these tests have no mirrors.
function deps() {
  return { db, mirrors: null as unknown as Mirrors };
}
const at = (path: string, line: number, character: number) => ({
  ...{ repository, revision: commit, path: `src/${path}`, line, character },
  limit: 100,
});
const text = ({ locations }: Awaited<ReturnType<typeof findDefinitions>>) =>
  locations.map(
    ({ path, line, character, endLine, endCharacter }) =>
      `${path.replace('src/', '')} ${[line, character, endLine, endCharacter].join()}`,
  );

const nothing: string[] = [];
test.each([
  [
    ...(['main.ts', 4, 11, ['model.ts 1,17,1,24']] as const),
    ['main.ts 0,18,0,25', 'main.ts 4,11,4,18', 'model.ts 6,32,6,39'],
    ['model.ts 6,13,6,20'],
  ],
  ['main.ts', 4, 25, ['model.ts 7,2,7,13'], ['main.ts 4,25,4,32'], nothing],
  ['main.ts', 5, 24, ['model.ts 3,2,3,7'], ['main.ts 5,23,5,28'], ['model.ts 8,2,8,7']],
  ['main.ts', 5, 9, ['util/text.ts 0,13,0,18'], ['main.ts 1,9,1,14', 'main.ts 5,9,5,14'], nothing],
  ['util/text.ts', 2, 8, ['util/text.ts 2,8,2,14'], ['util/text.ts 3,9,3,15'], nothing],
  ['util/text.ts', 0, 50, nothing, ['util/text.ts 0,46,0,57'], nothing],
  ['emoji.ts', 1, 33, ['emoji.ts 1,33,1,41'], nothing, nothing],
  ['emoji.ts', 1, 18, nothing, nothing, nothing],
] as const)(
  '%s %i:%i is answered',
  async (path, line, character, definitions, references, implementations) => {
    const place = at(path, line, character);
    expect(text(await findDefinitions(deps(), place))).toEqual(definitions);
    expect(text(await findReferences(deps(), place))).toEqual(references);
    expect(text(await findImplementations(deps(), place))).toEqual(implementations);
  },
);

test.each([
  ['main.ts', 4, 11],
  ['util/text.ts', 1, 22],
] as const)(
  'references of the symbol at %s %i:%i come page by page, each once and in the same order',
  async (path, line, character) => {
    const place = at(path, line, character);
    const whole = text(await findReferences(deps(), place));
    expect(whole.length).toBeGreaterThan(1);
    const pages: string[] = [];
    let after: string | undefined;
    for (let n = 0; n < 10; n += 1) {
      const page = await findReferences(deps(), {
        ...place,
        limit: 1,
        ...(after !== undefined && { after }),
      });
      expect(page.locations).toHaveLength(1);
      pages.push(...text(page));
      if (page.next === null) break;
      after = page.next;
    }
    expect(pages).toEqual(whole);
    await expect(findReferences(deps(), { ...place, after: 'x' })).rejects.toMatchObject({ status: 400 });
  },
);

test('references of a name that stands for two things are those of both, page by page', async () => {
  const property = 's m acme/two 1 name.';
  const at0 = { range: [0, 2, 6], symbol: property };
  await store(
    'acme/two',
    scipIndex([
      scipFile('two.ts', [
        at0,
        { ...at0, symbol: 'local 1' },
        { range: [1, 0, 4], symbol: 'local 1' },
        { range: [2, 0, 4], symbol: 'local 1' },
        { range: [3, 0, 4], symbol: property },
      ]),
    ]),
  );
  const place = { repository: 'acme/two', revision: commit, path: 'two.ts', line: 0, character: 3 };
  const whole = text(await findReferences(deps(), { ...place, limit: 100 }));
  expect(whole).toEqual(
    [0, 1, 2, 0, 3].map((line) => `two.ts ${[line, line ? 0 : 2, line, line ? 4 : 6].join()}`),
  );
  for (const limit of [1, 2, 3, 4]) {
    const pages: string[] = [];
    for (let after: string | undefined; ; ) {
      const page = await findReferences(deps(), { ...place, limit, ...(after !== undefined && { after }) });
      pages.push(...text(page));
      if (page.next === null) break;
      after = page.next;
    }
    expect(pages).toEqual(whole);
  }
});

test('hover has what the indexer wrote, also of a symbol of another file', async () => {
  const { hover } = await findHover(deps(), at('main.ts', 5, 24));
  expect(hover?.text).toContain('(method) greet(name: string) => string');
  expect(hover?.text).toContain('Returns the greeting for a name.');
  expect(hover?.range).toEqual({ line: 5, character: 23, endLine: 5, endCharacter: 28 });
  expect((await findHover(deps(), at('emoji.ts', 1, 18))).hover).toBeNull();
});

test('the symbols of a file are those that other files can know, with names and kinds', async () => {
  const { symbols } = await findSymbols(deps(), at('model.ts', 0, 0));
  expect(symbols.map(({ name, kind }) => `${name} ${kind}`)).toEqual(
    expect.arrayContaining(['Greeter type', 'greet method', 'English type', '<constructor> method']),
  );
  expect(symbols.some(({ symbol }) => symbol.startsWith('local '))).toBe(false);
});

test('callers are references, with the definition around each where the indexer wrote its range', async () => {
  const { callers } = await findCallers(deps(), at('main.ts', 5, 9));
  expect(callers.map(({ at: { line } }) => line)).toEqual([1, 5]);
});

test('repositories answer each other by the same version of a package, and by nothing less', async () => {
  const shout = greeterSymbol('util/`text.ts`/shout.');
  const nameless = 's m . . x.';
  await store('acme/user', scipIndex([scipDocument('use.ts', [shout, nameless], 0)]));
  await store('acme/other', scipIndex([scipDocument('a.ts', [nameless])]));
  const defined = async (line: number) => {
    const place = { repository: 'acme/user', revision: commit, path: 'use.ts', line, character: 1 };
    return (await findDefinitions(deps(), place)).locations.map((one) => `${one.repository} ${one.path}`);
  };
  expect(await defined(0)).toEqual(['acme/greeter src/util/text.ts']);
  expect(await defined(1)).toEqual([]);
  const place = at('main.ts', 5, 9);
  expect(text(await findReferences(deps(), place)).at(-1)).toBe('use.ts 0,0,0,5');
  const pages = await findReferences(deps(), { ...place, limit: 2 });
  const last = await findReferences(deps(), { ...place, ...(pages.next !== null && { after: pages.next }) });
  expect(text(last)).toEqual(['use.ts 0,0,0,5']);
});

describe('what an indexer says beyond definitions and references', () => {
  const symbol = (name: string) => `s m said 1 ${name}.`;
  const line = (number: number, name: string, role: 0 | 1 = 0) => ({
    range: [number, 0, 5],
    symbol: symbol(name),
    role,
  });
  const place = (number: number, path = 'a') => ({
    ...{ repository: 'acme/said', revision: commit, path, line: number, character: 1 },
    limit: 100,
  });
  const hover = async (number: number) => (await findHover(deps(), place(number))).hover?.text ?? null;
  beforeAll(async () => {
    const symbols = [
      { symbol: symbol('child'), relations: { reference: symbol('parent') } },
      { symbol: symbol('alias'), relations: { definition: symbol('original') } },
      { symbol: symbol('described'), documentation: 'Of the document.' },
    ];
    const a = scipFile(
      'a',
      [
        ...[
          line(0, 'child', 1),
          line(1, 'child'),
          line(2, 'parent', 1),
          line(3, 'alias', 1),
          line(4, 'alias'),
        ],
        ...[
          line(5, 'library'),
          { ...line(6, 'described'), documentation: 'Of this place.' },
          line(7, 'described'),
        ],
        { range: [8, 0, 5], symbol: '', documentation: 'Of no symbol.' },
      ],
      { symbols },
    );
    const b = scipFile('b', [line(0, 'parent'), line(1, 'original', 1)]);
    const external = [
      { symbol: symbol('library'), documentation: 'Of another project.' },
      { symbol: symbol('described'), documentation: 'Of another project.' },
    ].map(scipExternal);
    await store('acme/said', scipIndex([...external, a, b]));
  });

  test('references of a symbol are also those of what it refers to, but not the other way round', async () => {
    const child = ['a 1,0,1,5', 'b 0,0,0,5'];
    expect(text(await findReferences(deps(), place(0)))).toEqual(child);
    expect(text(await findReferences(deps(), place(1)))).toEqual(child);
    expect(text(await findReferences(deps(), place(2)))).toEqual(['b 0,0,0,5']);
  });

  test('a symbol may be defined where another one is', async () => {
    expect(text(await findDefinitions(deps(), place(4)))).toEqual(['b 1,0,1,5']);
    expect(text(await findDefinitions(deps(), place(1)))).toEqual(['a 0,0,0,5']);
  });

  test('hover shows what was written of the place, else of its symbol, which may be of another project', async () => {
    expect(await hover(6)).toBe('Of this place.');
    expect(await hover(7)).toBe('Of the document.');
    expect(await hover(5)).toBe('Of another project.');
    expect(await hover(8)).toBe('Of no symbol.');
    expect(await hover(0)).toBeNull();
    expect(text(await findDefinitions(deps(), place(8)))).toEqual([]);
  });

  test('what an index says of other projects is no document of its own, and is shared by indexes that say the same', async () => {
    const external = scipExternal({ symbol: symbol('shared'), documentation: 'Of another project.' });
    const ids = [
      await store('acme/one', scipIndex([external])),
      await store('acme/two', scipIndex([external])),
    ];
    for (const id of ids) expect(await readUpload(db, id)).toMatchObject({ documents: 0, symbols: 1 });
    const { rows } = await sql`
      select count(*) as uploads from index_documents where upload_id = any(${ids}::bigint[]) group by document_id
    `.execute(db);
    expect(rows).toEqual([{ uploads: 2 }]);
  });
});

test('columns in any encoding are stored in UTF-16, by the text that a document has', async () => {
  // An astral emoji, a combining mark and CJK before each name; the columns are those of the names' beginnings and ends.
  const lines = ["'🚀é漢' first(", '漢🚀 ascii', "'é' } // 漢 end"];
  const units = [
    [1, (before: string) => Buffer.byteLength(before)],
    [2, (before: string) => before.length],
    [3, (before: string) => Array.from(before).length],
  ] as const;
  const stored: unknown[] = [];
  for (const [encoding, count] of units) {
    const column = (line: number, name: string, end = false) => {
      const at = (lines[line] ?? '').indexOf(name) + (end ? name.length : 0);
      return count((lines[line] ?? '').slice(0, at));
    };
    const whole = [0, column(0, 'first'), 2, column(2, 'end', true)];
    const occurrences = [
      {
        range: [0, column(0, 'first'), column(0, 'first', true)],
        symbol: 's m p 1 first.',
        role: 1 as const,
        whole,
      },
      { range: [1, column(1, 'ascii'), 2, column(2, '}', true)], symbol: 's m p 1 two.' },
      { range: [2, column(2, 'end'), 10_000], symbol: 's m p 1 beyond.' },
    ];
    const content = `${lines.join('\n')}\n`;
    const id = await store(
      `acme/units-${encoding}`,
      scipIndex([scipFile('a', occurrences, { encoding, content })]),
    );
    stored.push(await readOccurrences(db, id, 'a'));
  }
  const [first = '', second = '', third = ''] = lines;
  const at = first.indexOf('first');
  const utf8 = [
    [0, at, 0, at + 5, 's m p 1 first.', 1, 0, at, 2, third.length],
    [1, second.indexOf('ascii'), 2, third.indexOf('}') + 1, 's m p 1 two.', 0],
    [2, third.indexOf('end'), 2, third.length, 's m p 1 beyond.', 0],
  ];
  // What counts in UTF-16 is as it was written.
  const utf16 = utf8.with(2, [2, third.indexOf('end'), 2, 10_000, 's m p 1 beyond.', 0]);
  expect(stored).toEqual([utf8, utf16, utf8]);
});

test('a file that no index covers is refused with what to do', async () => {
  const place = { ...at('main.ts', 0, 0), revision: 'f'.repeat(40) };
  await expect(findDefinitions(deps(), place)).rejects.toMatchObject({ code: 'not_indexed' });
});
