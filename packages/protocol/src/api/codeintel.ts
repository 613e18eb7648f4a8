import { z } from 'zod';

/** `GET /api/uploads/{id}`: an index as it is stored. A later one of the same commit, root and indexer takes its place. */
export const uploadRecordSchema = z.object({
  id: z.int().positive(),
  repository: z.string(),
  commit: z.string(),
  root: z.string(),
  indexer: z.string(),
  indexerVersion: z.string(),
  /** What the file holds, counted as it was read. */
  documents: z.int(),
  occurrences: z.int(),
  symbols: z.int(),
});
export type UploadRecord = z.infer<typeof uploadRecordSchema>;

/** `GET /api/uploads/{id}/definition?path=P&line=L&character=C`: path from the repository's root, line and character from 0. */
export const definitionQuerySchema = z.object({
  path: z.string().min(1).max(4096),
  line: z.coerce.number().int().nonnegative(),
  character: z.coerce.number().int().nonnegative(),
});
export const locationSchema = z.object({
  path: z.string(),
  line: z.int(),
  character: z.int(),
  symbol: z.string(),
});
export const definitionsSchema = z.object({ definitions: z.array(locationSchema) });

/**
 * `GET /api/uploads/{id}/example`: one reference of this index whose definition is in another place, for a first look:
 * the query and its answer by the same lookup as above; 404 when the index has none.
 */
export const definitionExampleSchema = z.object({
  query: locationSchema,
  definition: locationSchema,
});
