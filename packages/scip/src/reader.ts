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
  /** The description of a symbol of another project; null: it is too large to be read. */
  | { readonly kind: 'external'; readonly symbol: SymbolInformation | null };

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
    } else if (field === 3 && length <= pieceMax) {
      const piece = await bytes.take(length);
      yield { kind: 'external', symbol: decode(() => fromBinary(SymbolInformationSchema, piece, options)) };
    } else {
      // Other fields are of a later version of the schema.
      await bytes.skip(length);
      if (field === 3) yield { kind: 'external', symbol: null };
    }
  }
  if (!hasMetadata) throw indexInvalid('it has no metadata');
}

const options = { readUnknownFields: false };
const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });

/** What a document says about itself, beside its occurrences and symbols. */
export interface DocumentHead {
  readonly path: string;
  /** In which units it counts characters; null: it does not say. */
  readonly encoding: 'utf8' | 'utf16' | 'utf32' | null;
  /** The text of the file, if it counts in other units than UTF-16 and has it. */
  readonly text: string | null;
}

const encodings = ['utf8', 'utf16', 'utf32'] as const;

/** Reads what a document says about itself. Errors: `index_invalid`. */
export function readDocumentHead(bytes: Uint8Array): DocumentHead {
  let path: Uint8Array | null = null;
  let encoding: DocumentHead['encoding'] = null;
  let text: Uint8Array | null = null;
  for (const { field, piece, value } of fieldsOf(bytes)) {
    if (field === 1 && piece !== null) path = piece;
    else if (field === 5 && piece !== null) text = piece;
    else if (field === 6 && piece === null) encoding = encodings[value - 1] ?? null;
  }
  return {
    path: path === null ? '' : utf8.decode(path),
    encoding,
    text: text !== null && (encoding === 'utf8' || encoding === 'utf32') ? utf8.decode(text) : null,
  };
}

/** Reads a document piece by piece, so that its reader can let other work go on in between. Errors: `index_invalid`. */
export function* readDocument(bytes: Uint8Array): Generator<DocumentPart> {
  for (const { field, piece } of fieldsOf(bytes)) {
    if (piece === null || field > 3) continue;
    checkPiece(piece.length);
    if (field === 1) yield { kind: 'path', path: utf8.decode(piece) };
    else if (field === 2)
      yield { kind: 'occurrence', occurrence: decode(() => fromBinary(OccurrenceSchema, piece, options)) };
    else yield { kind: 'symbol', symbol: decode(() => fromBinary(SymbolInformationSchema, piece, options)) };
  }
}

/** Reads the fields of a document: the bytes of each, or null and its number. Errors: `index_invalid`. */
function* fieldsOf(
  bytes: Uint8Array,
): Generator<{ readonly field: number; readonly piece: Uint8Array | null; readonly value: number }> {
  const cursor = { at: 0 };
  while (cursor.at < bytes.length) {
    const tag = varint(bytes, cursor);
    const field = tag >>> 3;
    if ((tag & 7) !== 2 || field === 0) {
      yield { field, piece: null, value: readScalar(bytes, cursor, tag & 7) };
      continue;
    }
    const length = varint(bytes, cursor);
    const start = cursor.at;
    cursor.at += length;
    if (cursor.at > bytes.length) break;
    yield { field, piece: bytes.subarray(start, cursor.at), value: 0 };
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

/** Reads a field that is a number, and returns it; passes over one of fixed size, and returns 0. */
function readScalar(bytes: Uint8Array, cursor: { at: number }, wireType: number): number {
  let value = 0;
  if (wireType === 1) cursor.at += 8;
  else if (wireType === 5) cursor.at += 4;
  else if (wireType === 0) {
    for (let length = 1; ; length += 1) {
      const byte = bytes[cursor.at++] ?? 0;
      value += (byte & 0x7f) * 2 ** (7 * (length - 1));
      if (byte < 0x80) break;
      if (length === 10) throw indexInvalid('a number in it is too large');
    }
  } else throw indexInvalid(`it has a field of wire type ${wireType}`);
  return value;
}
