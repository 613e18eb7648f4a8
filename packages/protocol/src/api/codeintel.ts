import * as z from 'zod';
import { numberInText } from '../values.ts';

/** `GET /api/uploads/{id}`: a stored index. A later upload of the same commit, root and indexer replaces it. */
export const uploadRecordSchema = z.object({
  id: z.int().positive(),
  repository: z.string(),
  commit: z.string(),
  root: z.string(),
  indexer: z.string(),
  indexerVersion: z.string(),
  /** The job that made it; null: it is removed, or there was none. */
  jobId: z.int().nullable(),
  /** The name of the user who uploaded it; null: a job did. */
  uploadedBy: z.string().nullable(),
  uploadedAt: z.string(),
  /** How much the index holds, counted while it was read. */
  documents: z.int(),
  occurrences: z.int(),
  symbols: z.int(),
});
export type UploadRecord = z.infer<typeof uploadRecordSchema>;

/** `GET /api/uploads/{id}/definition?path=P&line=L&character=C`: path from the repository's root, line and character from 0. */
export const definitionQuerySchema = z.object({
  path: z.string().min(1).max(4096),
  line: numberInText.int().nonnegative(),
  character: numberInText.int().nonnegative(),
});
/** `?into=node_modules/`: only a reference outside of this directory whose definition is below it. */
export const exampleQuerySchema = z.object({ into: z.string().min(1).max(4096).endsWith('/').optional() });
export const locationSchema = z.object({
  path: z.string(),
  line: z.int(),
  character: z.int(),
  symbol: z.string(),
});
export const definitionsSchema = z.object({ definitions: z.array(locationSchema) });

/**
 * `GET /api/uploads/{id}/example[?into=DIR/]`: a reference in this index, with the definition that the lookup above finds for it; 404 when the
 * index has no such reference.
 */
export const definitionExampleSchema = z.object({
  query: locationSchema,
  definition: locationSchema,
});
