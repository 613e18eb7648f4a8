import * as z from 'zod';
import { privateHostSchema } from './egress-policy.ts';

/** The name of an entry of the broker: a label of a host's name, because steps reach the entry by such a name. */
export const brokerNameSchema = z
  .string()
  .regex(
    /^[a-z](?:[a-z0-9-]{0,30}[a-z0-9])?$/,
    'must begin with a letter, and have at most 32 small letters, digits and -',
  );

/** Most entries of the broker that one job gets. */
export const jobBrokerMax = 10;

export const brokerKindSchema = z.enum(['npm', 'pypi', 'http', 'git']);
export type BrokerKind = z.infer<typeof brokerKindSchema>;

/** What a step may send to an entry of the kind `http`; the other kinds have methods of their own. */
export const brokerMethodSchema = z.enum(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']);

/** Parses a URL whose host is a name, without a user, a query or a fragment. Adds an issue and returns null for any other text. */
function plainUrl(text: string, context: z.RefinementCtx<string>): URL | null {
  const url = URL.canParse(text) ? new URL(text) : null;
  const isPlain =
    url !== null &&
    ['http:', 'https:'].includes(url.protocol) &&
    url.username + url.password + url.search + url.hash === '' &&
    privateHostSchema.shape.name.safeParse(url.hostname).success;
  if (isPlain) return url;
  context.addIssue({
    code: 'custom',
    message: 'must be https://HOST/PATH/, with the name of a host, and without a user, a query or a fragment',
  });
  return null;
}

/** Where an entry's requests go: only paths below this one are. Its value ends with `/`. */
export const brokerUrlSchema = z
  .string()
  .max(1000)
  .transform((text, context) => {
    const url = plainUrl(text, context);
    if (!url) return z.NEVER;
    if (/[%;]|\/\//.test(url.pathname)) {
      context.addIssue({ code: 'custom', message: 'must have a path without %, ; and //' });
      return z.NEVER;
    }
    return url.href.endsWith('/') ? url.href : `${url.href}/`;
  });

/** Another host that an entry's answers may lead to, as `https://HOST[:PORT]`. It never gets the credential. */
const brokerHostSchema = z
  .string()
  .max(250)
  .transform((text, context) => {
    const url = plainUrl(text, context);
    if (!url) return z.NEVER;
    if (url.pathname === '/') return url.origin;
    context.addIssue({ code: 'custom', message: 'must be https://HOST[:PORT], without a path' });
    return z.NEVER;
  });

/** Fields of a request that say how it is read, and that no credential can be. */
const framing =
  /^(?:host|connection|content-.*|transfer-encoding|te|trailer|upgrade|expect|keep-alive|proxy-.*)$/;

/** The field of a request in which a credential goes. */
export const brokerHeaderSchema = z
  .string()
  .max(100)
  .toLowerCase()
  .regex(/^[a-z0-9!#$%&'*+.^_`|~-]+$/, 'must be the name of a field of HTTP')
  .refine((name) => !framing.test(name), 'must be no field that says how a request is read');

/** What an entry of the broker is, but for its credential. */
export const brokerEntrySchema = z.object({
  name: brokerNameSchema,
  kind: brokerKindSchema,
  url: brokerUrlSchema,
  hosts: z
    .array(brokerHostSchema)
    .max(16)
    .refine(
      (all) => new Set(all.map((origin) => new URL(origin).hostname)).size === all.length,
      'must name each host once',
    )
    .default([]),
  /** Of the kind `http`. */
  methods: z.array(brokerMethodSchema).min(1).max(6).default(['GET', 'HEAD']),
  /** Largest answer, MiB. */
  responseMaxMiB: z.int().min(1).max(65_536).default(2_048),
});
export type BrokerEntry = z.infer<typeof brokerEntrySchema>;

/** An entry as the executor of a job gets it: with the field of HTTP that has the credential, or null for an entry without one. */
export const brokerGrantSchema = brokerEntrySchema.extend({
  credential: z
    .strictObject({
      header: brokerHeaderSchema,
      value: z
        .string()
        .max(40_000)
        .regex(/^[\x20-\x7e]+$/, 'must be printable ASCII'),
    })
    .nullable(),
});
export type BrokerGrant = z.infer<typeof brokerGrantSchema>;
