import { isRefName, readDiff } from '@fumehood/git';
import { isStorable, publicationSchema } from '@fumehood/protocol';
import { sql } from 'kysely';
import * as z from 'zod';
import type { Person } from '../auth/people.ts';
import type { BlobStore } from '../blobs/store.ts';
import type { Db } from '../db/connect.ts';
import { transaction } from '../db/transaction.ts';
import { badRequest } from '../errors.ts';
import { readRepository } from '../repos/records.ts';
import { defaultAuthor, statOf } from './derive.ts';
import { changesetForkUnsupported, changesetSpecInvalid, changesetSpecNotFound } from './errors.ts';
import { hostedAmong } from './hosted.ts';
import { type NewChangesetSpec, requireOwnBranches, storeChangesetSpecs, storeDiff } from './store.ts';

const text = (max: number) => z.string().max(max).refine(isStorable, 'must be text without NUL');
/** What a commit may say of a person: git's own signs around names and addresses are not part of them. */
const person = text(400).regex(/^[^<>\p{Cc}]*$/u, 'must have no control characters and no < or >');
const branchName = z
  .string()
  .refine((name) => name.startsWith('refs/heads/') && isRefName(name), 'must be the full name of a branch');

/** A changeset spec as upstream's clients send it. Repositories are their ids. */
const branchSchema = z
  .object({
    baseRepository: z.string(),
    baseRef: branchName,
    baseRev: z.string().regex(/^[0-9a-f]{40}$/, 'must be a commit'),
    headRepository: z.string(),
    headRef: branchName,
    title: text(1_000),
    body: text(1_000_000).default(''),
    fork: z.boolean().nullish(),
    commits: z.tuple([
      z.object({
        /** 2: the diff is in base64. */
        version: z.int().optional(),
        message: text(100_000),
        diff: z.string(),
        authorName: person.optional(),
        authorEmail: person.optional(),
      }),
    ]),
    published: publicationSchema.nullish(),
  })
  .refine(({ baseRef, headRef }) => baseRef !== headRef, 'its branch is the one that the changes are for')
  .refine(
    ({ baseRepository, headRepository }) => baseRepository === headRepository,
    'it is for another repository than it is made of',
  );
const existingSchema = z.object({
  baseRepository: z.string(),
  externalID: z.union([text(200).min(1), z.int().transform(String)]),
});

export interface ClientSpecDeps {
  readonly db: Db;
  readonly blobs: BlobStore;
  /** Returns the name of a repository by the id that clients know. */
  readonly repositoryOf: (id: string) => string;
}

/** Most changeset specs that are sent together. */
const specsMax = 1_000;

/**
 * Stores changeset specs that a client has made of its own runs, as JSON texts, all or none, and returns their public ids. Errors:
 * `changeset_spec_invalid`, `diff_invalid`, `diff_too_big`, `repository_not_found`, `changeset_fork_unsupported`; `invalid_request` for too many.
 */
export async function createChangesetSpecs(
  deps: ClientSpecDeps,
  person: Person,
  texts: readonly string[],
): Promise<string[]> {
  if (texts.length > specsMax) throw badRequest(`at most ${specsMax} changeset specs are sent together`);
  const specs: NewChangesetSpec[] = [];
  for (const text of texts) specs.push(await checkedSpec(deps, person, text));
  return await transaction(deps.db, (tx) => storeChangesetSpecs(tx, specs));
}

/** Checks a changeset spec, and stores its diff. */
async function checkedSpec(
  { db, blobs, repositoryOf }: ClientSpecDeps,
  { name: creator }: Person,
  json: string,
): Promise<NewChangesetSpec> {
  const parsed = parseJson(json);
  const repository = repositoryOf(parsed.baseRepository);
  await readRepository(db, repository);
  if ('fork' in parsed && parsed.fork === true && !(await hostedAmong(db, [repository])).has(repository))
    throw changesetForkUnsupported(repository);
  const owner = { creator, specId: null, workspaceId: null, repository };
  return 'externalID' in parsed
    ? { ...owner, kind: 'existing', externalId: parsed.externalID }
    : { ...owner, ...(await branchSpec(blobs, owner, parsed)) };
}

async function branchSpec(
  blobs: BlobStore,
  { creator }: { readonly creator: string },
  spec: z.output<typeof branchSchema>,
) {
  const [{ version, message, diff: encoded, authorName, authorEmail }] = spec.commits;
  const diff = Buffer.from(encoded, version === 2 ? 'base64' : 'utf8');
  const counts = statOf(readDiff(diff));
  const author = defaultAuthor(creator);
  const { baseRef, headRef, title, body } = spec;
  return {
    ...{
      kind: 'branch' as const,
      baseRef,
      baseCommit: spec.baseRev,
      headRef,
      title,
      body,
      message,
      ...counts,
    },
    authorName: authorName || author.authorName,
    authorEmail: authorEmail || author.authorEmail,
    diff: await storeDiff(blobs, diff),
    published: spec.published ?? null,
    fork: spec.fork ?? false,
  };
}

function parseJson(json: string): z.output<typeof branchSchema> | z.output<typeof existingSchema> {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    throw changesetSpecInvalid('it is no JSON');
  }
  const isExisting = typeof value === 'object' && value !== null && 'externalID' in value;
  const { data, error } = (isExisting ? existingSchema : branchSchema).safeParse(value);
  if (data) return data;
  const [issue] = error?.issues ?? [];
  throw changesetSpecInvalid(`${issue?.path.join('.') || 'the whole'}: ${issue?.message}`);
}

/** Makes changeset specs that a client has sent those of its batch spec. Errors: `changeset_spec_not_found`, `changeset_branch_duplicate`. */
export async function addChangesetSpecs(
  tx: Db,
  { name }: Person,
  specId: number,
  publicIds: readonly string[],
): Promise<void> {
  const { rows } = await sql<{ id: string }>`
    update changeset_specs set spec_id = ${specId}
    where public_id = any(${publicIds}::text[]) and creator = ${name} and spec_id is null
    returning public_id as id
  `.execute(tx);
  const added = new Set(rows.map(({ id }) => id));
  const missing = publicIds.find((id) => !added.has(id));
  if (missing !== undefined) throw changesetSpecNotFound(missing);
  await requireOwnBranches(tx, specId);
}
