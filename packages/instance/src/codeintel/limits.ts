/** Largest index, in bytes before gzip: a small body can unpack to any size. */
export const maxIndexBytes = 4 * 2 ** 30;

/** Bounds of what one index may hold. Each document is one statement, and its occurrences are one value in the database. */
export interface IndexLimits {
  readonly documents: number;
  readonly occurrences: number;
  /** Bytes of the occurrences of one path, as JSON. Whoever asks for a place in a document has all of them read. */
  readonly documentBytes: number;
  /** Bytes of the documents whose path has occurred before, which are kept in memory until the end. */
  readonly repeatedBytes: number;
}

export const indexLimits: IndexLimits = {
  documents: 500_000,
  occurrences: 20_000_000,
  documentBytes: 32 * 2 ** 20,
  repeatedBytes: 64 * 2 ** 20,
};
