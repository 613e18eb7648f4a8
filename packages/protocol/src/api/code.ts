import * as z from 'zod';
import { commitSchema } from '../values.ts';
import { definitionQuerySchema, locationSchema } from './codeintel.ts';
import { storedRepositorySchema } from './repositories.ts';

/** A branch, a tag, or a commit or the beginning of one. */
export const revisionSchema = z
  .string()
  .regex(/^[A-Za-z0-9_./][A-Za-z0-9_./@~^-]{0,254}$/, 'must be a branch, a tag or a commit');

/** A place in a repository at a commit; line and character count from 0. */
export const codeQuerySchema = definitionQuerySchema.extend({
  repository: storedRepositorySchema,
  /** Missing: the default branch. */
  revision: revisionSchema.optional(),
});
export type CodeQuery = z.input<typeof codeQuerySchema>;

/** `GET /api/code/definition`. */
export const codeDefinitionsSchema = z.object({
  repository: storedRepositorySchema,
  commit: commitSchema,
  /** Where the symbol at the place is defined, by indexes of this commit; `upload` is the index. */
  definitions: z.array(locationSchema.extend({ upload: z.int() })),
});
export type CodeDefinitions = z.infer<typeof codeDefinitionsSchema>;
