import * as z from 'zod';
import { commitSchema, repositoryNameSchema } from '../values.ts';
import { setRegistryCredentialSchema } from './registries.ts';

/** The name of a repository of the instance: that of a host and a path, or a path alone. */
export const storedRepositorySchema = repositoryNameSchema.regex(
  /^[A-Za-z0-9][A-Za-z0-9._-]*(\/[A-Za-z0-9][A-Za-z0-9._-]*)*$/,
  'must have letters, digits, dots, hyphens and slashes',
);

/** Where a repository is mirrored from: git over HTTP. A credential has fields of its own. */
export const repositoryUrlSchema = z
  .string()
  .max(2_000)
  .refine((text) => {
    const url = URL.parse(text);
    return url !== null && ['http:', 'https:'].includes(url.protocol);
  }, 'must be a URL with https: or http:')
  .refine((text) => {
    const url = URL.parse(text);
    return (
      url === null || (url.username === '' && url.password === '' && url.search === '' && url.hash === '')
    );
  }, 'must have no user, password, query or fragment');

/** Who sends deliveries: by the headers in which the proof is. */
export const webhookSenderSchema = z.enum(['github', 'gitea', 'gitlab', 'generic']);
export type WebhookSender = z.infer<typeof webhookSenderSchema>;

/**
 * What became of a delivery: a sync was asked for, the states of changesets are read, or nothing was done because it changes no branch and
 * no tag, and is about no changeset of the instance.
 */
export const deliveryResultSchema = z.enum(['sync', 'changesets', 'ignored']);
export type DeliveryResult = z.infer<typeof deliveryResultSchema>;

/** What a repository's record says of its webhook. */
export const webhookStateSchema = z.object({
  setAt: z.string(),
  /** The last delivery with a valid signature since then. */
  lastDelivery: z
    .object({
      receivedAt: z.string(),
      sender: webhookSenderSchema,
      event: z.string(),
      /** What the code host calls the delivery. */
      id: z.string().nullable(),
      result: deliveryResultSchema,
    })
    .nullable(),
});

/** `GET /api/repositories/{name}`: a repository that the instance mirrors. No answer has its password. */
export const repositoryRecordSchema = z.object({
  name: storedRepositorySchema,
  /** Null: the repository is sent by clients. */
  url: z.string().nullable(),
  username: z.string().nullable(),
  intervalSeconds: z.int(),
  createdAt: z.string(),
  /** The full name of its default branch, and the commit at its tip; null before the first sync, and if it has none. */
  branch: z.string().nullable(),
  commit: commitSchema.nullable(),
  branches: z.int(),
  tags: z.int(),
  /** The end of the last sync that succeeded. */
  syncedAt: z.string().nullable(),
  /** The end of the last sync, whether it succeeded or not. */
  triedAt: z.string().nullable(),
  /** When the next sync is due. */
  nextSyncAt: z.string(),
  /** Why the last sync failed; null if it did not. */
  failure: z.string().nullable(),
  /** Null: it has none, and code hosts cannot say that it has changed. */
  webhook: webhookStateSchema.nullable(),
});
export type RepositoryRecord = z.infer<typeof repositoryRecordSchema>;

/** `GET /api/repositories`. */
export const repositoryRecordsSchema = z.object({ repositories: z.array(repositoryRecordSchema) });

/** `PUT /api/repositories/{name}`: 200 with the record. A credential that is left out is removed. */
export const setRepositorySchema = z
  .strictObject({
    /** Null: clients send its history (`PUT /api/histories/{name}`). */
    url: repositoryUrlSchema.nullable(),
    username: setRegistryCredentialSchema.shape.username.optional(),
    password: setRegistryCredentialSchema.shape.password.optional(),
    /** Time between two syncs. */
    intervalSeconds: z.int().min(10).max(2_592_000).default(300),
  })
  .refine(
    ({ username, password }) => (username === undefined) === (password === undefined),
    'a credential has a username and a password',
  )
  .refine(
    ({ url, username }) => url !== null || username === undefined,
    'a repository without a URL has no credential',
  );
export type SetRepository = z.input<typeof setRepositorySchema>;

/** The full name of a branch, of characters that are in no way special to git. */
export const branchNameSchema = z
  .string()
  .max(255)
  .regex(
    /^refs\/heads\/(?!.*(?:\.\.|\/\/|\.lock(?:\/|$)|\/[.-]|[./]$))[A-Za-z0-9_][A-Za-z0-9_./@+#=-]*$/,
    'must be `refs/heads/` and a name of letters, digits and `_./@+#=-`',
  );

/**
 * `PUT /api/histories/{name}?branch=B&commit=C[&base=C]`: 200 with the record of the repository, which has no URL. The body is a pack with the
 * history of the commit, the tip of the branch. With `base`, the commit that the repository has, it lacks what is in the history of that one.
 */
export const putHistorySchema = z.object({
  branch: branchNameSchema,
  commit: commitSchema,
  base: commitSchema.optional(),
});
export type PutHistory = z.input<typeof putHistorySchema>;

/** `POST /api/syncs`: 202; the sync begins at once. */
export const syncSchema = z.strictObject({ repository: storedRepositorySchema });
