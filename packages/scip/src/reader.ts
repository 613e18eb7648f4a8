import { fromBinary } from '@bufbuild/protobuf';
import { type ByteReader, byteReader, readVarint } from './bytes.ts';
import { indexInvalid } from './errors.ts';
import {
  type Metadata,
  MetadataSchema,
  type Occurrence,
  OccurrenceSchema,
  type SymbolInformation,
  SymbolInformationSchema,
} from './gen/scip_pb.ts';

/** A part of an index. Parts come in the order of the file. */
export type IndexPart =
  | { readonly kind: 'metadata'; readonly metadata: Metadata }
  /** A document as it is in the file, for `readDocument`. */
  | { readonly kind: 'document'; readonly bytes: Uint8Array }
  /** The description of a symbol of another project. */
  | { readonly kind: 'external' };

/** A part of a document, in the order of the file. */
export type DocumentPart =
  | { readonly kind: 'path'; readonly path: string }
  | { readonly kind: 'occurrence'; readonly occurrence: Occurrence }
  | { readonly kind: 'symbol'; readonly symbol: SymbolInformation };

/** Largest metadata, occurrence, path or description of a symbol, bytes. */
const pieceMax = 2 ** 20;

/**
 * Reads an index with one document in memory at a time. `documentBytes`: the largest document. Errors: `index_invalid`, also for an index without
 * metadata, what `tooBig` makes for a larger document, and those of the stream.
 */
export async function* readIndex(
  stream: AsyncIterable<Uint8Array>,
  documentBytes = 2 ** 28,
  tooBig: () => Error = () => indexInvalid(`a document of it has more than ${documentBytes} bytes`),
): AsyncGenerator<IndexPart> {
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
      checkPiece(length);
      const piece = await bytes.take(length);
      yield { kind: 'metadata', metadata: decode(() => fromBinary(MetadataSchema, piece, options)) };
    } else if (field === 2) {
      if (length > documentBytes) throw tooBig();
      yield { kind: 'document', bytes: await bytes.take(length) };
    } else {
      // Field 3 describes a symbol; others are of a later version of the schema.
      await bytes.skip(length);
      if (field === 3) yield { kind: 'external' };
    }
  }
  if (!hasMetadata) throw indexInvalid('it has no metadata');
}

const options = { readUnknownFields: false };
const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });

/** Reads a document piece by piece, so that its reader can let other work go on in between. Errors: `index_invalid`. */
export function* readDocument(bytes: Uint8Array): Generator<DocumentPart> {
  const cursor = { at: 0 };
  while (cursor.at < bytes.length) {
    const tag = varint(bytes, cursor);
    const field = tag >>> 3;
    if ((tag & 7) !== 2 || field === 0) {
      skipScalar(bytes, cursor, tag & 7);
      continue;
    }
    const length = varint(bytes, cursor);
    const start = cursor.at;
    cursor.at += length;
    if (cursor.at > bytes.length) break;
    if (field > 3) continue;
    checkPiece(length);
    const piece = bytes.subarray(start, cursor.at);
    if (field === 1) yield { kind: 'path', path: utf8.decode(piece) };
    else if (field === 2)
      yield { kind: 'occurrence', occurrence: decode(() => fromBinary(OccurrenceSchema, piece, options)) };
    else yield { kind: 'symbol', symbol: decode(() => fromBinary(SymbolInformationSchema, piece, options)) };
  }
  if (cursor.at !== bytes.length) throw indexInvalid('a document in it does not end where it should');
}

/** Reads a number that has to be there. */
async function readNumber(bytes: ByteReader): Promise<number> {
  const number = await readVarint(bytes);
  if (number === null) throw indexInvalid('it is cut off');
  return number;
}

function checkPiece(length: number): void {
  if (length > pieceMax)
    throw indexInvalid(`a piece of it has ${length} bytes, at most ${pieceMax} are allowed`);
}

function decode<T>(from: () => T): T {
  try {
    return from();
  } catch (error) {
    throw indexInvalid((error as Error).message);
  }
}

/** Reads an unsigned number of at most 32 bits. */
function varint(bytes: Uint8Array, cursor: { at: number }): number {
  let value = 0;
  for (let shift = 0; shift < 35; shift += 7) {
    const byte = bytes[cursor.at++];
    if (byte === undefined) throw indexInvalid('it is cut off');
    value += (byte & 0x7f) * 2 ** shift;
    if (byte >= 0x80) continue;
    if (value > 0xffffffff) break;
    return value;
  }
  throw indexInvalid('a number in it is too large');
}

/** Passes over a field of fixed size, or of a number. */
function skipScalar(bytes: Uint8Array, cursor: { at: number }, wireType: number): void {
  if (wireType === 1) cursor.at += 8;
  else if (wireType === 5) cursor.at += 4;
  else if (wireType === 0) {
    for (let length = 1; (bytes[cursor.at++] ?? 0) >= 0x80; length += 1)
      if (length === 10) throw indexInvalid('a number in it is too large');
  } else throw indexInvalid(`it has a field of wire type ${wireType}`);
}
