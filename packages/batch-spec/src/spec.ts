import * as z from 'zod';

/** Field of a spec that may be null, which says the same as its absence. */
const optional = <S extends z.ZodType>(schema: S) =>
  schema
    .nullish()
    .transform((value) => value ?? undefined)
    .optional();
const text = z.string();
const named = z.string().min(1);
const withoutComma = (what: string) =>
  z.string().regex(/^[^,]*$/, `${what} contains invalid characters: a comma`);

/** A value of `published`: whether a changeset becomes visible on the code host. */
const publishedValueSchema = z.union([z.boolean(), z.literal('draft')], 'must be true, false or draft');

const onSchema = z
  .strictObject({
    repositoriesMatchingQuery: named.optional(),
    repository: named.optional(),
    branch: named.optional(),
    branches: z.array(named).min(1).optional(),
  })
  .check((context) => {
    const { repositoriesMatchingQuery: query, repository, branch, branches } = context.value;
    const message =
      (query === undefined) === (repository === undefined)
        ? 'must have either `repository` or `repositoriesMatchingQuery`'
        : query !== undefined && (branch !== undefined || branches !== undefined)
          ? '`branch` and `branches` belong to `repository`'
          : branch !== undefined && branches !== undefined
            ? 'must have either `branch` or `branches`'
            : null;
    if (message !== null) context.issues.push({ code: 'custom', message, input: context.value });
  });

/** Variables of a step: with their values, or names whose values come from outside (secrets). */
const envSchema = z.union(
  [
    z.record(named, text),
    z.array(
      z.union([
        named,
        z.record(named, text).refine((one) => Object.keys(one).length === 1, 'must have one variable'),
      ]),
    ),
  ],
  'must have variables with texts as their values, or a list of names and variables',
);

const stepSchema = z.strictObject({
  run: text,
  container: named,
  env: optional(envSchema),
  files: optional(z.record(withoutComma('file name'), text)),
  outputs: optional(
    z.record(
      named,
      // Upstream allows other fields here.
      z.object({
        value: text,
        format: z.enum(['json', 'yaml', 'text'], 'must be json, yaml or text').optional(),
      }),
    ),
  ),
  if: optional(z.union([z.boolean(), text], 'must be a condition, true or false')),
  mount: optional(
    z.array(
      z.strictObject({ path: withoutComma('mount path'), mountpoint: withoutComma('mount mountpoint') }),
    ),
  ),
});

const templateSchema = z.strictObject({
  title: text,
  body: optional(text),
  branch: named,
  fork: optional(z.boolean()),
  commit: z.strictObject({
    message: text,
    author: optional(z.strictObject({ name: text, email: z.email('must be an e-mail address') })),
  }),
  published: optional(
    z.union(
      [
        publishedValueSchema,
        z.array(
          z
            .record(named, publishedValueSchema)
            .refine((one) => Object.keys(one).length === 1, 'must have one pattern'),
        ),
      ],
      'must be true, false, draft, or a list of patterns with one of these each',
    ),
  ),
});

/** The schema of batch specs, versions 1 and 2. */
export const batchSpecSchema = z
  .strictObject({
    version: optional(z.union([z.literal(1), z.literal(2)], 'must be 1 or 2')),
    name: z
      .string()
      .regex(
        /^[\w.-]+$/,
        'The batch change name can only contain word characters, dots and dashes. No whitespace or newlines allowed.',
      ),
    description: optional(text),
    on: optional(z.array(onSchema)),
    workspaces: optional(
      z.array(
        z.strictObject({
          rootAtLocationOf: z.string().regex(/^[^/]+$/, 'must be the name of a file, without directories'),
          in: optional(text),
          onlyFetchWorkspace: optional(z.boolean()),
        }),
      ),
    ),
    steps: optional(z.array(stepSchema)),
    transformChanges: optional(
      z.strictObject({
        group: optional(
          z.array(z.strictObject({ directory: named, branch: named, repository: named.optional() })),
        ),
      }),
    ),
    importChangesets: optional(
      z.array(
        z.strictObject({
          repository: named,
          externalIDs: optional(z.array(z.union([text, z.int()]).transform(String))),
        }),
      ),
    ),
    changesetTemplate: optional(templateSchema),
  })
  .check((context) => {
    const { steps, changesetTemplate: template, transformChanges } = context.value;
    const add = (message: string, ...path: (string | number)[]) =>
      context.issues.push({ code: 'custom', message, path, input: context.value });
    if (steps !== undefined && steps.length > 0 && template === undefined)
      add('batch spec includes steps but no changesetTemplate');
    const branches = new Set([template?.branch]);
    for (const [at, { branch }] of (transformChanges?.group ?? []).entries()) {
      if (branches.has(branch))
        add(
          `the branch ${branch} is that of another group or of changesetTemplate`,
          'transformChanges',
          'group',
          at,
          'branch',
        );
      branches.add(branch);
    }
  });

export type BatchSpec = z.output<typeof batchSpecSchema>;
export type Step = NonNullable<BatchSpec['steps']>[number];
export type ChangesetTemplate = NonNullable<BatchSpec['changesetTemplate']>;

/** Returns the JSON Schema (draft 7) of batch specs, for editors. */
export function batchSpecJsonSchema(): object {
  return { ...z.toJSONSchema(batchSpecSchema, { target: 'draft-07', io: 'input' }), title: 'Batch spec' };
}
