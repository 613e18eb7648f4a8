import { imageReferenceSchema } from '@fumehood/protocol';
import { z } from 'zod';
import { connectionSchema } from './db/connect.ts';

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const path = z.string().startsWith('/');

/** The release of `src` that executors of upstream's kind are told to use: the one that the upload was tried with. */
export const srcVersion = '7.6.0';

/** What executors of upstream's kind are told. */
export const upstreamSchema = z
  .strictObject({
    /** Where they, and the containers of their jobs, reach this instance. Null: they get no job with an upload. */
    url: z
      .url({ protocol: /^https?$/ })
      .nullable()
      .default(null),
    /** Image of the step that uploads, with `src` in it. */
    srcImage: imageReferenceSchema.default(`sourcegraph/src-cli:${srcVersion}`),
  })
  .prefault({});
export type Upstream = z.output<typeof upstreamSchema>;

/** Leniences that are off until an admin wants them. */
export const compatibilitySchema = z
  .strictObject({
    /** Executors older than job tokens use their credential on the routes of the jobs that they hold. */
    executorsWithoutJobTokens: z.boolean().default(false),
  })
  .prefault({});
export type Compatibility = z.output<typeof compatibilitySchema>;

/** Where the instance listens besides loopback, over TLS alone. */
export const tlsConfigSchema = z.strictObject({
  /** `0.0.0.0` and `::` are all addresses of this machine. */
  address: z.union([z.ipv4(), z.ipv6()]),
  port: z.int().min(0).max(65_535),
  /** PEM, with the certificates in between; the instance's user reads both, again when they change. */
  certificateFile: path,
  keyFile: path,
});
export type TlsConfig = z.infer<typeof tlsConfigSchema>;

/** What the unprivileged process of the instance is told, as a JSON file. It holds no secret but, maybe, a database's URL. */
export const instanceConfigSchema = z.strictObject({
  version: z.string().min(1),
  connection: connectionSchema,
  /** Directory of the numbered `.sql` files. */
  migrations: path,
  /** Directories, each made by the instance's helper and owned by the instance's user. */
  directories: z.strictObject({ blobs: path, repositories: path }),
  /** 0: any port that is free. */
  port: z.int().min(0).max(65_535),
  /** Host names, besides loopback's, under which requests may reach it. */
  hosts: z.array(z.string().min(1)),
  tls: tlsConfigSchema.nullable().default(null),
  /** Hashes of the secrets that the instance's helper made. */
  accessTokenSha256: sha256,
  executorCredentialSha256: sha256,
  upstream: upstreamSchema,
  compatibility: compatibilitySchema,
});
export type InstanceConfig = z.infer<typeof instanceConfigSchema>;
