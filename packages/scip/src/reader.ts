import { fromBinary } from '@bufbuild/protobuf';
import { type ByteReader, byteReader, readVarint } from './bytes.ts';
import { indexInvalid } from './errors.ts';
import { type Metadata, MetadataSchema, type Occurrence, OccurrenceSchema } from './gen/scip_pb.ts';

/** A part of an index. Parts come in the order of the file. */
export type IndexPart =
  | { readonly kind: 'metadata'; readonly metadata: Metadata }
  /** An occurrence of the document whose end comes next. */
  | { readonly kind: 'occurrence'; readonly occurrence: Occurrence }
  /** The end of a document. `symbols`: how many the document describes. */
  | { readonly kind: 'document'; readonly relativePath: string; readonly symbols: number }
  /** The description of a symbol of another project. */
  | { readonly kind: 'external' };

/** Largest piece that is read into memory: the metadata, an occurrence or a path. */
const pieceMax = 2 ** 20;

/**
 * Reads an index piece by piece, with one piece in memory at a time: it walks the fields of the index and of its documents itself and
 * decodes only what it yields, so that no index, however large its documents are, keeps the process busy for long. Errors:
 * `index_invalid`, also for an index without metadata, and those of the stream.
 */
export async function* readIndex(stream: AsyncIterable<Uint8Array>): AsyncGenerator<IndexPart> {
  const bytes = byteReader(stream);
  let hasMetadata = false;
  for (;;) {
    const tag = await readVarint(bytes);
    if (tag === null) break;
    const field = tag >>> 3;
    // The outermost message has length-delimited fields only.
    if ((tag & 7) !== 2 || field === 0) throw indexInvalid(`it has a field of wire type ${tag & 7}`);
    const length = await readNumber(bytes);
    if (field === 1) {
      hasMetadata = true;
      yield {
        kind: 'metadata',
        metadata: await decode(bytes, length, (piece) => fromBinary(MetadataSchema, piece, options)),
      };
    } else if (field === 2) yield* readDocument(bytes, bytes.position + length);
    else {
      // Field 3 describes a symbol; others are of a later version of the schema.
      await bytes.skip(length);
      if (field === 3) yield { kind: 'external' };
    }
  }
  if (!hasMetadata) throw indexInvalid('it has no metadata');
}

const options = { readUnknownFields: false };
const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });

/** Reads the fields of a document up to the position `end`. */
async function* readDocument(bytes: ByteReader, end: number): AsyncGenerator<IndexPart> {
  let relativePath = '';
  let symbols = 0;
  while (bytes.position < end) {
    const tag = await readNumber(bytes);
    const field = tag >>> 3;
    if ((tag & 7) !== 2 || field === 0) {
      await skipScalar(bytes, tag & 7);
      continue;
    }
    const length = await readNumber(bytes);
    if (bytes.position + length > end) break;
    if (field === 1) relativePath = await decode(bytes, length, (piece) => utf8.decode(piece));
    else if (field === 2) {
      const occurrence = await decode(bytes, length, (piece) => fromBinary(OccurrenceSchema, piece, options));
      yield { kind: 'occurrence', occurrence };
    } else {
      if (field === 3) symbols += 1;
      await bytes.skip(length);
    }
  }
  if (bytes.position !== end) throw indexInvalid('a document in it does not end where it should');
  yield { kind: 'document', relativePath, symbols };
}

/** Reads a number that has to be there. */
async function readNumber(bytes: ByteReader): Promise<number> {
  const number = await readVarint(bytes);
  if (number === null) throw indexInvalid('it is cut off');
  return number;
}

async function decode<T>(bytes: ByteReader, length: number, from: (piece: Uint8Array) => T): Promise<T> {
  if (length > pieceMax)
    throw indexInvalid(`a piece of it has ${length} bytes, at most ${pieceMax} are allowed`);
  const piece = await bytes.take(length);
  try {
    return from(piece);
  } catch (error) {
    throw indexInvalid((error as Error).message);
  }
}

/** Passes over a field of fixed size, or of a number. */
async function skipScalar(bytes: ByteReader, wireType: number): Promise<void> {
  if (wireType === 1) await bytes.skip(8);
  else if (wireType === 5) await bytes.skip(4);
  else if (wireType === 0) {
    for (let length = 1; ((await bytes.take(1))[0] as number) >= 0x80; length += 1)
      if (length === 10) throw indexInvalid('a number in it is too large');
  } else throw indexInvalid(`it has a field of wire type ${wireType}`);
}
