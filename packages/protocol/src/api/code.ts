import * as z from 'zod';
import { commitSchema, numberInText } from '../values.ts';
import { definitionQuerySchema } from './codeintel.ts';
import { storedRepositorySchema } from './repositories.ts';

/** A branch, a tag, or a commit or the beginning of one. */
export const revisionSchema = z
  .string()
  .regex(/^[A-Za-z0-9_./][A-Za-z0-9_./@~^-]{0,254}$/, 'must be a branch, a tag or a commit');

/** A place in a repository at a commit; line and character count from 0, characters are UTF-16 code units. */
export const codeQuerySchema = definitionQuerySchema.extend({
  repository: storedRepositorySchema,
  /** Missing: the default branch. */
  revision: revisionSchema.optional(),
});
export type CodeQuery = z.input<typeof codeQuerySchema>;

/** Most locations on a page. */
export const codePageMax = 500;
/** A place, and which page of the answer: `after` is `next` of the page before. */
export const codePageQuerySchema = codeQuerySchema.extend({
  limit: numberInText.int().min(1).max(codePageMax).default(100),
  after: z.string().min(1).max(1_000).optional(),
});
export type CodePageQuery = z.input<typeof codePageQuerySchema>;

/** `GET /api/code/symbols?repository=&path=[&revision=]`. */
export const codeFileQuerySchema = codeQuerySchema.omit({ line: true, character: true });
export type CodeFileQuery = z.input<typeof codeFileQuerySchema>;

/** A half-open range in a document; lines and characters count from 0, characters are UTF-16 code units. */
export const codeRangeSchema = z.object({
  line: z.int(),
  character: z.int(),
  endLine: z.int(),
  endCharacter: z.int(),
});
export type CodeRange = z.infer<typeof codeRangeSchema>;

/** A version of a package of a package manager: `npm`, `lodash`, `4.17.21`. */
export const codePackageSchema = z.object({ manager: z.string(), name: z.string(), version: z.string() });
export type CodePackage = z.infer<typeof codePackageSchema>;

/** A place that answers a question. */
export const codeLocationSchema = codeRangeSchema.extend({
  repository: z.string(),
  commit: z.string(),
  /** From the root of the repository, or of the package. */
  path: z.string(),
  /** Empty for a place that a search found. */
  symbol: z.string(),
  /** The index that says so; null for a place that a search found. */
  upload: z.int().nullable(),
  /** The package that was indexed because repositories depend on it; null: `repository` is one that the instance knows. */
  package: codePackageSchema.nullable(),
});
export type CodeLocation = z.infer<typeof codeLocationSchema>;

/** How good an answer is, and for which commit. */
const codeAnswerSchema = z.object({
  repository: storedRepositorySchema,
  commit: commitSchema,
  /**
   * `exact`: by an index of this commit. `nearby`: by an index of another commit (`indexedCommit`), whose positions were carried over by the
   * difference of the commits. `guess`: no index covers the file, and a search for the word found the places.
   */
  precision: z.enum(['exact', 'nearby', 'guess']),
  /** The commit whose index answers; null for a guess. */
  indexedCommit: commitSchema.nullable(),
});
export type CodePrecision = z.infer<typeof codeAnswerSchema>['precision'];

/** `GET /api/code/definition`, `/api/code/references` and `/api/code/implementations`. */
export const codeLocationsSchema = codeAnswerSchema.extend({
  locations: z.array(codeLocationSchema),
  /** `after` of the next page; null on the last one. */
  next: z.string().nullable(),
});
export type CodeLocations = z.infer<typeof codeLocationsSchema>;

/** `GET /api/code/callers`: where the symbol at a place is referred to, and in which function or other definition. */
export const codeCallersSchema = codeAnswerSchema.extend({
  callers: z.array(
    z.object({
      /** The reference. */
      at: codeLocationSchema,
      /** The definition around it; null: none is known. */
      caller: codeLocationSchema.extend({ name: z.string() }).nullable(),
    }),
  ),
  next: z.string().nullable(),
});
export type CodeCallers = z.infer<typeof codeCallersSchema>;

/** `GET /api/code/hover`: what is known of the symbol at a place. */
export const codeHoverSchema = codeAnswerSchema.extend({
  hover: z
    .object({
      symbol: z.string(),
      /** Markdown that the indexer wrote: as little to be trusted as the repository. */
      text: z.string(),
      range: codeRangeSchema,
    })
    .nullable(),
});
export type CodeHover = z.infer<typeof codeHoverSchema>;

/** `GET /api/code/symbols`: what a file defines, in the order of the file, without the symbols that only the file knows. */
export const codeSymbolsSchema = codeAnswerSchema.extend({
  symbols: z.array(
    codeRangeSchema.extend({
      symbol: z.string(),
      name: z.string(),
      /** What the last descriptor of the symbol says, as `type`, `method`; null: nothing. */
      kind: z.string().nullable(),
    }),
  ),
});
export type CodeSymbols = z.infer<typeof codeSymbolsSchema>;
