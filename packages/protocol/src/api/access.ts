import * as z from 'zod';
import { labelsSchema } from '../capability.ts';
import { queueNameSchema } from '../kinds.ts';
import { momentSchema } from '../values.ts';
import { scopeSchema } from './scopes.ts';

/** The name of a user, a token or a credential. It is never a number, so that a command can take either a name or an id. */
export const accessNameSchema = z
  .string()
  .regex(
    /^[A-Za-z][A-Za-z0-9._@-]{0,99}$/,
    'must be a letter and at most 99 more letters, digits, dots, hyphens, `_` or `@`',
  );

const id = z.int().positive();
const time = z.string();
/** When the secret expires; null or missing: never. */
const expiresAt = momentSchema.nullable().default(null);

/** `GET /api/access/users` */
export const userRecordSchema = z.object({ id, name: accessNameSchema, admin: z.boolean(), createdAt: time });
export const usersSchema = z.object({ users: z.array(userRecordSchema) });
export type UserRecord = z.infer<typeof userRecordSchema>;

/** `POST /api/access/users`: 201 with the user. The tenant of the user's jobs has the same name. */
export const createUserSchema = z.object({ name: accessNameSchema, admin: z.boolean().default(false) });
export type CreateUser = z.input<typeof createUserSchema>;

/** `GET /api/access/tokens`: the unrevoked tokens of the user who asks; of all users for an admin. */
export const tokenRecordSchema = z.object({
  id,
  name: accessNameSchema,
  user: accessNameSchema,
  scopes: z.array(scopeSchema),
  createdAt: time,
  expiresAt: time.nullable(),
  /** Accurate to a minute. */
  lastUsedAt: time.nullable(),
});
export const tokensSchema = z.object({ tokens: z.array(tokenRecordSchema) });
export type TokenRecord = z.infer<typeof tokenRecordSchema>;

/**
 * `POST /api/access/tokens`: 201 with the token and its secret, which is shown here and never again. The token has no scope that the
 * token of the request does not have, and does not last longer. `POST /api/access/tokens/{id}/revoke`: 204.
 */
export const createTokenSchema = z.object({
  name: accessNameSchema,
  /** Whose token to make; only admins may name another user. */
  user: accessNameSchema.optional(),
  scopes: z
    .array(scopeSchema)
    .min(1)
    .transform((scopes) => [...new Set(scopes)]),
  expiresAt,
});
export type CreateToken = z.input<typeof createTokenSchema>;
export const madeTokenSchema = tokenRecordSchema.extend({ secret: z.string() });
export type MadeToken = z.infer<typeof madeTokenSchema>;

/** `GET /api/access/executor-credentials`: the unrevoked credentials. */
export const credentialRecordSchema = z.object({
  id,
  name: accessNameSchema,
  /** The queues that its executors may lease from. */
  queues: z.array(queueNameSchema),
  createdAt: time,
  expiresAt: time.nullable(),
  /** The valid secrets, newest first; more than one while a rotation overlaps. */
  secrets: z.array(
    z.object({
      createdAt: time,
      /** Set by the rotation that replaced the secret. */
      endsAt: time.nullable(),
      /** Accurate to a minute. */
      lastUsedAt: time.nullable(),
    }),
  ),
});
export const credentialsSchema = z.object({ credentials: z.array(credentialRecordSchema) });
export type CredentialRecord = z.infer<typeof credentialRecordSchema>;

/** `POST /api/access/executor-credentials`: 201 with the credential and its secret, which is shown here and never again. */
export const createCredentialSchema = z.object({
  name: accessNameSchema,
  queues: z.array(queueNameSchema).transform((queues) => [...new Set(queues)]),
  expiresAt,
});
export type CreateCredential = z.input<typeof createCredentialSchema>;
export const madeCredentialSchema = credentialRecordSchema.extend({ secret: z.string() });
export type MadeCredential = z.infer<typeof madeCredentialSchema>;

/** `POST /api/access/executor-credentials/{id}/rotate`: 201 as above, with a new secret. Former secrets expire after the overlap. */
export const rotateCredentialSchema = z.object({
  overlapMs: z.int().min(0).max(7_776_000_000).default(86_400_000),
});
export type RotateCredential = z.input<typeof rotateCredentialSchema>;

/** `POST /api/access/executor-credentials/{id}/revoke`: 204. With `replaced`, revokes only secrets that a rotation has replaced. */
export const revokeCredentialQuerySchema = z.object({ replaced: z.enum(['true', 'false']).default('false') });

/**
 * `POST /api/access/join-tokens`: 201 with a token by which one executor joins, once, within an hour. The executor gets the name; its
 * credential is valid for the queues.
 */
export const createJoinTokenSchema = z.object({
  name: accessNameSchema,
  queues: z
    .array(queueNameSchema)
    .min(1)
    .default([...queueNameSchema.options])
    .transform((queues) => [...new Set(queues)]),
  labels: labelsSchema.default([]),
});
export type CreateJoinToken = z.input<typeof createJoinTokenSchema>;
export const joinTokenSchema = z.object({
  name: accessNameSchema,
  queues: z.array(queueNameSchema),
  labels: labelsSchema,
  token: z.string(),
  expiresAt: time,
  /** The address of the instance for other machines; null if its settings have none. */
  instanceUrl: z.string().nullable(),
});
export type JoinToken = z.infer<typeof joinTokenSchema>;

/** `POST /.executors/join`: the new executor, and the credential that it leases with, which is shown here and never again. */
export const joinedExecutorSchema = joinTokenSchema
  .pick({ name: true, queues: true, labels: true })
  .extend({ credential: z.string() });
export type JoinedExecutor = z.infer<typeof joinedExecutorSchema>;
