import { create, toBinary } from '@bufbuild/protobuf';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  DocumentSchema,
  IndexSchema,
  MetadataSchema,
  OccurrenceSchema,
  SymbolInformationSchema,
} from './gen/scip_pb.ts';
import { rangeOf } from './range.ts';
import { type DocumentPart, type IndexPart, readDocument, readDocumentHead, readIndex } from './reader.ts';

async function* inChunks(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}
async function all(bytes: Uint8Array, size = 7): Promise<(IndexPart | DocumentPart)[]> {
  const parts: (IndexPart | DocumentPart)[] = [];
  for await (const part of readIndex(inChunks(bytes, size), 100_000)) {
    parts.push(part);
    if (part.kind === 'document') parts.push(...readDocument(part.bytes));
  }
  return parts;
}
const metadata = create(MetadataSchema, { toolInfo: { name: 'tool', version: '1' } });
const document = (relativePath: string) =>
  create(DocumentSchema, {
    relativePath,
    occurrences: [{ range: [1, 2, 3], symbol: 's', symbolRoles: 1 }],
    symbols: [{ symbol: 's' }],
  });

describe('an index', () => {
  it('is read part by part for any chunks', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.string({ maxLength: 300 }), { maxLength: 20 }),
        fc.integer({ min: 1, max: 5_000 }),
        async (paths, size) => {
          const index = create(IndexSchema, { metadata, documents: paths.map(document) });
          const parts = await all(toBinary(IndexSchema, index), size);
          const read = parts.flatMap((part) => (part.kind === 'path' && part.path !== '' ? [part.path] : []));
          expect(read).toEqual(paths.filter((path) => path !== ''));
          expect(parts.filter(({ kind }) => kind === 'occurrence')).toEqual(
            paths.map((path) => ({ kind: 'occurrence', occurrence: document(path).occurrences[0] })),
          );
        },
      ),
      { numRuns: 100 },
    );
  });

  it('that is cut off anywhere or has no metadata is refused', async () => {
    const whole = toBinary(IndexSchema, create(IndexSchema, { metadata, documents: [document('a')] }));
    const borders = new Set([0]);
    const head = toBinary(IndexSchema, create(IndexSchema, { metadata })).length;
    for (let length = 0; length < whole.length; length++) {
      if (length === head || borders.has(length)) continue;
      await expect(all(whole.subarray(0, length))).rejects.toMatchObject({ code: 'index_invalid' });
    }
    await expect(all(new Uint8Array(0))).rejects.toMatchObject({ code: 'index_invalid' });
  });

  it('of random bytes yields parts or `index_invalid`, never another error', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 400 }), async (bytes) => {
        await all(bytes).catch((error: unknown) => expect(error).toMatchObject({ code: 'index_invalid' }));
      }),
      { numRuns: 500, examples: [[Uint8Array.from([18, 128, 128, 7])]] },
    );
  });

  it('with false lengths allocates no memory', async () => {
    const lie = Uint8Array.from([0x12, 0xff, 0xff, 0xff, 0xff, 0x0f, 1, 2, 3]);
    await expect(all(lie)).rejects.toMatchObject({
      code: 'index_invalid',
      message: expect.stringContaining('more than 100000 bytes') as string,
    });
    const shorter = Uint8Array.from([0x12, 0xff, 0xff, 0x01, 1, 2, 3]);
    await expect(all(shorter)).rejects.toMatchObject({ code: 'index_invalid' });
  });
});

describe('the head of a document', () => {
  const encodings = [null, 'utf8', 'utf16', 'utf32', null] as const;
  it.each(encodings.map((encoding, number) => [number, encoding] as const))(
    'says in which units it counts: %i is %s',
    (positionEncoding, encoding) => {
      const bytes = toBinary(DocumentSchema, create(DocumentSchema, { ...document('a'), positionEncoding }));
      const text = Buffer.from([5 * 8 + 2, 2, 0xc3, 0xa9]);
      expect(readDocumentHead(bytes)).toEqual({ path: 'a', encoding, text: null });
      expect(readDocumentHead(Buffer.concat([bytes, text]))).toEqual({
        ...{ path: 'a', encoding },
        // Nobody needs the text of a document that counts in UTF-16.
        text: encoding === 'utf8' || encoding === 'utf32' ? 'é' : null,
      });
    },
  );
});

it('what an index says of symbols of other projects is read, unless it is too large', async () => {
  const external = (text: string) => create(SymbolInformationSchema, { symbol: 's', documentation: [text] });
  const externalSymbols = [external('a'), external('b'.repeat(2 ** 20)), external('c')];
  const parts = await all(toBinary(IndexSchema, create(IndexSchema, { metadata, externalSymbols })), 1_000);
  const read = parts.flatMap((part) =>
    part.kind === 'external' ? [part.symbol?.documentation ?? null] : [],
  );
  expect(read).toEqual([['a'], null, ['c']]);
});

describe('a range', () => {
  const range = (facts: Parameters<typeof create<typeof OccurrenceSchema>>[1]) =>
    rangeOf(create(OccurrenceSchema, facts));
  const text = ({ start, end }: ReturnType<typeof rangeOf>) =>
    [start.line, start.character, end.line, end.character].join();

  it('has an old and a typed form, and the typed one counts', () => {
    expect(text(range({ range: [1, 2, 3] }))).toBe('1,2,1,3');
    expect(text(range({ range: [1, 2, 3, 4] }))).toBe('1,2,3,4');
    const single = { line: 5, startCharacter: 6, endCharacter: 7 };
    expect(text(range({ typedRange: { case: 'singleLineRange', value: single } }))).toBe('5,6,5,7');
    const multi = { startLine: 1, startCharacter: 9, endLine: 2, endCharacter: 0 };
    expect(text(range({ range: [8, 8, 9], typedRange: { case: 'multiLineRange', value: multi } }))).toBe(
      '1,9,2,0',
    );
  });

  it('is refused when it is impossible', () => {
    for (const numbers of [[], [1], [1, 2], [1, 2, 3, 4, 5], [-1, 0, 1], [1, 5, 4], [2, 0, 1, 0]])
      expect(() => range({ range: numbers })).toThrow(/SCIP index/);
  });
});

it('an index whose strings are not UTF-8 is read, with a mark in their place', async () => {
  const half = Buffer.from([0xed, 0xa0, 0x80]); // one half of a surrogate pair, as some indexers write it
  const field = (number: number, value: Buffer) =>
    Buffer.concat([Buffer.from([(number << 3) | 2, value.length]), value]);
  const name = Buffer.concat([Buffer.from('a`'), half, Buffer.from('`.')]);
  const occurrence = field(2, Buffer.concat([field(1, Buffer.from([1, 2, 3])), field(2, name)]));
  const symbol = field(3, Buffer.concat([field(1, name), field(3, half), field(6, half)]));
  const bytes = Buffer.concat([
    field(1, Buffer.alloc(0)),
    field(2, Buffer.concat([field(1, Buffer.concat([half, Buffer.from('.ts')])), occurrence, symbol])),
  ]);
  const parts = await all(bytes);
  expect(parts.map((part) => (part.kind === 'occurrence' ? part.occurrence.symbol : part.kind))).toEqual([
    'metadata',
    'document',
    'path',
    'a`\ufffd\ufffd\ufffd`.',
    'symbol',
  ]);
});
