import { revisionSchema, storedRepositorySchema } from '@fumehood/protocol';
import * as z from 'zod';

/** Most entries on a page. */
export const pageMax = 100;

const number = (what: string) => z.int().min(1).max(1_000_000_000).describe(what);
const repository = storedRepositorySchema.describe(
  'Name of the repository as the tool `repositories` lists it, such as git.example.com/acme/greeter',
);
const path = z
  .string()
  .min(1)
  .max(4096)
  .describe('Path of the file from the root of the repository, without a slash at its beginning');
const revision = revisionSchema
  .optional()
  .describe('Branch, tag or commit (also its beginning); missing: the default branch');
const limit = z.int().min(1).max(pageMax).default(50).describe('Most entries of this answer');
const cursor = (schema: z.ZodString) =>
  schema.optional().describe('`next` of the answer before, to get the entries after it');
const next = z.string().nullable().describe('`cursor` for the entries after these; null: there are none');

/** A place in a file as people count, from 1. */
export const placeArguments = z.strictObject({
  ...{ repository, path },
  line: number('Line, counted from 1'),
  column: number(
    'Column, counted from 1 in UTF-16 code units, of any character of the identifier that is asked about',
  ),
  revision,
});
/** A place, and which page of the answer. */
export const pageArguments = placeArguments.extend({ limit, cursor: cursor(z.string().min(1).max(1_000)) });
/** A file, and which page of the answer. */
export const fileArguments = z.strictObject({
  ...{ repository, path, revision, limit },
  cursor: cursor(z.string().regex(/^[1-9]\d{0,6}$/, 'must be `next` of an answer before')),
});
export const repositoriesArguments = z.strictObject({
  filter: z.string().max(200).optional().describe('Only repositories whose name contains this'),
  ...{ limit, cursor: cursor(z.string().min(1).max(500)) },
});

const range = {
  line: z.int().describe('Counted from 1'),
  column: z.int().describe('Counted from 1, in UTF-16 code units'),
  endLine: z.int().describe('Counted from 1'),
  endColumn: z.int().describe('The column after the last character'),
};
const location = z.object({
  repository: z.string(),
  commit: z.string(),
  path: z.string(),
  ...range,
  symbol: z.string().describe('What the indexer calls the symbol; empty for a guess'),
  package: z
    .object({ manager: z.string(), name: z.string(), version: z.string() })
    .nullable()
    .describe('The package of which `path` is a file; null: `path` is in the repository'),
});
const answer = {
  repository: z.string(),
  commit: z.string().describe('The commit that the question is about'),
  precision: z.enum(['exact', 'nearby', 'guess']),
  quality: z.string().describe('How good the answer is, in words'),
  indexedCommit: z.string().nullable().describe('The commit whose index answers; null for a guess'),
};

export const locationsOutput = z.object({ ...answer, locations: z.array(location), next });
export const callersOutput = z.object({
  ...answer,
  callers: z.array(
    z.object({
      at: location.describe('The reference'),
      caller: location
        .extend({ name: z.string() })
        .nullable()
        .describe('The definition around the reference; null: the indexer wrote none'),
    }),
  ),
  next,
});
export const hoverOutput = z.object({
  ...answer,
  hover: z
    .object({ symbol: z.string(), text: z.string().describe('Markdown from the repository'), ...range })
    .nullable()
    .describe('Null: no symbol is there, or nothing describes it'),
});
export const symbolsOutput = z.object({
  ...answer,
  symbols: z.array(
    z.object({
      name: z.string(),
      kind: z.string().nullable().describe('Such as type, method or term'),
      ...range,
      symbol: z.string(),
    }),
  ),
  next,
});
export const repositoriesOutput = z.object({
  repositories: z.array(
    z.object({
      name: z.string(),
      branch: z.string().nullable().describe('The default branch'),
      commit: z.string().nullable().describe('The commit at its tip; null before the first sync'),
      syncedAt: z.string().nullable().describe('When the instance last fetched it'),
    }),
  ),
  next,
});
