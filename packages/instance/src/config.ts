import { imageReferenceSchema } from '@fumehood/protocol';
import * as z from 'zod';
import { retentionSchema } from './retention/policy.ts';

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const path = z.string().startsWith('/');

/** The release of `src` that executors of upstream's kind use for uploads: the one that uploads were tested with. */
export const srcVersion = '7.6.0';

/** Settings of jobs for executors of upstream's kind. */
export const upstreamSchema = z
  .strictObject({
    /** The URL of this instance for these executors and the containers of their jobs. Null: they get no job with an upload. */
    url: z
      .url({ protocol: /^https?$/ })
      .nullable()
      .default(null),
    /** The image of the upload step, which has `src` in it. */
    srcImage: imageReferenceSchema.default(`sourcegraph/src-cli:${srcVersion}`),
  })
  .prefault({});
export type Upstream = z.output<typeof upstreamSchema>;

/** Exceptions for older executors, off by default. */
export const compatibilitySchema = z
  .strictObject({
    /** Executors older than job tokens may use their credential on the routes of jobs that they hold. */
    executorsWithoutJobTokens: z.boolean().default(false),
  })
  .prefault({});
export type Compatibility = z.output<typeof compatibilitySchema>;

/** The address besides loopback on which the instance listens, over TLS alone. */
export const tlsConfigSchema = z.strictObject({
  /** `0.0.0.0` and `::` stand for all addresses of this machine. */
  address: z.union([z.ipv4(), z.ipv6()]),
  port: z.int().min(0).max(65_535),
  /** PEM files; the first one also holds intermediate certificates. The instance's user reads both, and again when they change. */
  certificateFile: path,
  keyFile: path,
});
export type TlsConfig = z.infer<typeof tlsConfigSchema>;

/** How to reach PostgreSQL: a socket directory with peer authentication, or a URL that the admin gives. */
const connectionSchema = z.union([
  z.strictObject({ url: z.string().min(1) }),
  z.strictObject({ host: z.string().min(1), user: z.string().min(1), database: z.string().min(1) }),
]);
export type Connection = z.infer<typeof connectionSchema>;

/**
 * The address besides loopback on which the instance listens without TLS, for a proxy that ends it: what connects there without the proxy
 * sends its secrets in the clear.
 */
export const plainConfigSchema = tlsConfigSchema.pick({ address: true, port: true });
export type PlainConfig = z.infer<typeof plainConfigSchema>;

/** The URL by which other machines reach the instance, as it is shown to them. */
export const urlSchema = z.url({ protocol: /^https?$/ });

/** The configuration file of the instance's unprivileged process. Its only secret can be the password in a database URL. */
export const instanceConfigSchema = z.strictObject({
  version: z.string().min(1),
  connection: connectionSchema,
  /** Directory of the numbered `.sql` files. */
  migrations: path,
  /** Directories, each made by the instance's helper and owned by the instance's user. Replicas may share them. */
  directories: z.strictObject({ blobs: path, repositories: path }),
  /** The name of this replica in these directories: what is under way of one replica is in its own part of them. */
  replica: z.string().regex(/^[0-9a-f]{16}$/),
  /** The unix socket on which the instance listens for the programs of this machine. */
  socket: path,
  /** The port on loopback; 0 takes any free one. */
  port: z.int().min(0).max(65_535),
  /** Host names that requests may name, besides those of loopback. */
  hosts: z.array(z.string().min(1)),
  tls: tlsConfigSchema.nullable().default(null),
  plain: plainConfigSchema.nullable().default(null),
  url: urlSchema.nullable().default(null),
  /** Hashes of the secrets that the instance's helper made. */
  accessTokenSha256: sha256,
  executorCredentialSha256: sha256,
  /** The file with the key that encrypts the instance's secrets. The instance's user reads it. */
  secretsKeyFile: path,
  upstream: upstreamSchema,
  compatibility: compatibilitySchema,
  retention: retentionSchema,
});
export type InstanceConfig = z.infer<typeof instanceConfigSchema>;
