import * as z from 'zod';
import { repositoryUrlSchema } from './repositories.ts';
import { setWebhookSchema } from './webhooks.ts';

/** The code hosts that the instance has clients for. GitHub's is for GitHub Enterprise Server, too, and Gitea's for Forgejo. */
export const codeHostKindSchema = z.enum(['github', 'gitlab', 'gitea']);
export type CodeHostKind = z.infer<typeof codeHostKindSchema>;

export const codeHostNameSchema = z
  .string()
  .regex(/^[a-z0-9][a-z0-9.-]{0,62}$/, 'must have 1 to 63 lower-case letters, digits, dots and hyphens');

/** `GET /api/code-hosts`: the code hosts, without their tokens, which no answer ever has. */
export const codeHostSchema = z.object({
  name: codeHostNameSchema,
  kind: codeHostKindSchema,
  /** That of its pages, such as `https://github.com`. The repositories whose URL begins with it are on this host. */
  url: z.string(),
  /** Whether it has a secret with which the deliveries for all its repositories may be signed. */
  hasWebhookSecret: z.boolean(),
  /** Whether all changesets are made in forks, whatever batch specs say. */
  forks: z.boolean(),
  /** The host has asked for no requests before; null if it has not. */
  limitedUntil: z.string().nullable(),
  /** The name of the user. */
  setBy: z.string(),
  setAt: z.string(),
});
export type CodeHostRecord = z.infer<typeof codeHostSchema>;
export const codeHostsSchema = z.object({ codeHosts: z.array(codeHostSchema) });

/** `PUT /api/code-hosts/{name}`: 200 with the code host, in place of an earlier one. `DELETE`: 204. */
export const setCodeHostSchema = z.strictObject({
  kind: codeHostKindSchema,
  url: repositoryUrlSchema.transform((text) => new URL(text).href.replace(/\/+$/, '')),
  /** May read and write pull requests. It goes in a header. */
  token: z.string().regex(/^[\x21-\x7e]{1,4096}$/, 'must be 1 to 4096 printable ASCII characters, no blanks'),
  webhookSecret: setWebhookSchema.shape.secret,
  /** Makes all changesets in forks of the token's user, whatever batch specs say. */
  forks: z.boolean().default(false),
});
export type SetCodeHost = z.input<typeof setCodeHostSchema>;
