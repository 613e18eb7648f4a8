/** Largest index, in bytes before gzip: a small body can unpack to any size. */
export const maxIndexBytes = 4 * 2 ** 30;

/** Longest path of a document that is stored, bytes: a key of PostgreSQL has at most 2,704. */
export const maxPathBytes = 2_600;

/** Bounds of what one index may hold. */
export interface IndexLimits {
  readonly documents: number;
  readonly occurrences: number;
  /** Bytes of one document: it is in memory while it is stored, and whoever asks for a place in it has all of it read. */
  readonly documentBytes: number;
}

export const indexLimits: IndexLimits = {
  documents: 500_000,
  occurrences: 20_000_000,
  documentBytes: 32 * 2 ** 20,
};
