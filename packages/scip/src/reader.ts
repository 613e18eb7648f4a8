import { fromBinary } from '@bufbuild/protobuf';
import { indexInvalid } from './errors.ts';
import {
  type Document,
  DocumentSchema,
  type Metadata,
  MetadataSchema,
  type SymbolInformation,
  SymbolInformationSchema,
} from './gen/scip_pb.ts';

/** A part of an index. Parts come in the order of the file. */
export type IndexPart =
  | { readonly kind: 'metadata'; readonly metadata: Metadata }
  | { readonly kind: 'document'; readonly document: Document }
  | { readonly kind: 'external'; readonly symbol: SymbolInformation };

/** Largest part that is read into memory, bytes. */
const partMax = 256 * 2 ** 20;

/**
 * Reads an index part by part, with one part in memory at a time: it walks the fields of the outermost message itself and decodes each
 * part as a whole. Errors: `index_invalid`, also for an index without metadata, and those of the stream.
 */
export async function* readIndex(stream: AsyncIterable<Uint8Array>): AsyncGenerator<IndexPart> {
  const bytes = byteQueue(stream);
  let hasMetadata = false;
  for (;;) {
    const tag = await readVarint(bytes);
    if (tag === null) break;
    const field = tag >>> 3;
    // The outermost message has length-delimited fields only.
    if ((tag & 7) !== 2 || field === 0) throw indexInvalid(`it has a field of wire type ${tag & 7}`);
    const length = await readVarint(bytes);
    if (length === null) throw indexInvalid('it is cut off');
    if (length > partMax)
      throw indexInvalid(`a part of it has ${length} bytes, at most ${partMax} are allowed`);
    const part = decode(field, await bytes.take(length));
    if (part?.kind === 'metadata') hasMetadata = true;
    if (part) yield part;
  }
  if (!hasMetadata) throw indexInvalid('it has no metadata');
}

function decode(field: number, bytes: Uint8Array): IndexPart | null {
  try {
    if (field === 1) return { kind: 'metadata', metadata: fromBinary(MetadataSchema, bytes, options) };
    if (field === 2) return { kind: 'document', document: fromBinary(DocumentSchema, bytes, options) };
    if (field === 3) return { kind: 'external', symbol: fromBinary(SymbolInformationSchema, bytes, options) };
    return null; // a field of a later version of the schema
  } catch (error) {
    throw indexInvalid((error as Error).message);
  }
}

const options = { readUnknownFields: false };

interface ByteQueue {
  /** Returns the next byte, or null at the end. */
  next(): Promise<number | null>;
  /** Returns exactly this many bytes. Errors: `index_invalid` when there are fewer. */
  take(length: number): Promise<Uint8Array>;
}

function byteQueue(stream: AsyncIterable<Uint8Array>): ByteQueue {
  const chunks = stream[Symbol.asyncIterator]();
  let held: Uint8Array = new Uint8Array(0);
  let at = 0;
  const refill = async () => {
    while (at === held.length) {
      const { done, value } = await chunks.next();
      if (done) return false;
      held = value;
      at = 0;
    }
    return true;
  };
  return {
    async next() {
      return (await refill()) ? (held[at++] as number) : null;
    },
    async take(length) {
      if (held.length - at >= length) {
        at += length;
        return held.subarray(at - length, at);
      }
      const parts: Uint8Array[] = [];
      let missing = length;
      while (missing > 0) {
        // Chunk by chunk, so that a false length allocates no memory.
        if (!(await refill())) throw indexInvalid('it is cut off');
        const part = held.subarray(at, at + missing);
        at += part.length;
        missing -= part.length;
        parts.push(part);
      }
      return Buffer.concat(parts);
    },
  };
}

/** Reads an unsigned number of at most 32 bits; null at the end of the stream. */
async function readVarint(bytes: ByteQueue): Promise<number | null> {
  let value = 0;
  for (let shift = 0; shift < 35; shift += 7) {
    const byte = await bytes.next();
    if (byte === null) {
      if (shift === 0) return null;
      throw indexInvalid('it is cut off');
    }
    value += (byte & 0x7f) * 2 ** shift;
    if (byte < 0x80) {
      if (value > 0xffffffff) break;
      return value;
    }
  }
  throw indexInvalid('a number in it is too large');
}
