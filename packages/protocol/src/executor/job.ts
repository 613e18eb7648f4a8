import * as z from 'zod';
import { terminalSizeSchema } from '../terminal.ts';
import { brokerGrantSchema, jobBrokerMax } from '../broker.ts';
import { egressPolicySchema } from '../egress-policy.ts';
import { tierSchema } from '../tier.ts';
import {
  artifactPathsSchema,
  digestSchema,
  jobSecretsMax,
  relativePathSchema,
  secretNameSchema,
  stopGraceSchema,
} from '../values.ts';

/** A container step, as upstream's executors know it; only ours understand `argv`. */
export const dockerStepSchema = z.object({
  key: z.string().max(200).optional(),
  /** A reference to an image in a registry; from our instance also `blob:<digest>`, an image archive on the instance. */
  image: z.string().max(1024),
  /** Lines of a `/bin/sh` script that runs instead of the image's entrypoint. Empty when `argv` is given. */
  commands: z.array(z.string()).nullish(),
  /** Working directory below the workspace. */
  dir: z.string().max(4096).nullish(),
  env: z.array(z.string()).nullish(),
  /** Native: arguments that, as with Docker, replace the image's Cmd and follow its Entrypoint. */
  argv: z.array(z.string()).optional(),
});
export type DockerStep = z.infer<typeof dockerStepSchema>;

/** A run of the `src` command beside the containers: of our jobs, those of batch changes that executors of upstream's kind run. */
export const cliStepSchema = z.object({
  key: z.string().max(200).optional(),
  command: z.array(z.string()),
  dir: z.string().max(4096).nullish(),
  env: z.array(z.string()).nullish(),
});

/** An index that a step leaves. The executor sends it to the upload route with `src` after the last step. */
export const uploadRequestSchema = z.object({
  /** Path of the index file from the root of the workspace. */
  file: relativePathSchema,
  /** Root of the index, from the root of the repository; `''` is the repository itself. */
  root: relativePathSchema,
  indexer: z.string().max(200),
});

/** The part of a job that only executors with the native extension get (header `x-fumehood-protocol`). */
export const nativeJobSchema = z.object({
  attempt: z.int().positive(),
  /** The tiers that the job accepts. The executor refuses to start it in another one. */
  accept: z.array(tierSchema).min(1),
  resources: z.object({
    cpus: z.int().positive(),
    memoryMiB: z.int().positive(),
    scratchMiB: z.int().positive(),
  }),
  /** How long a lease is good for after the sending of an answered heartbeat. */
  leaseMs: z.int().positive(),
  /** Wall time of all steps together. */
  deadlineMs: z.int().positive(),
  /** How long a step may go on after it was asked to end. An instance of an older build does not send it. */
  stopGraceMs: stopGraceSchema,
  /** Whether the input route has the job's stdin; if not, the first step reads an empty stdin. */
  stdin: z.boolean(),
  /** The first step has a terminal of this size, and the input route has frames (`terminal.ts`). Missing: neither. */
  terminal: terminalSizeSchema.optional(),
  /** Whether the executor searches the paused VM for the job's credentials before it destroys it. */
  inspect: z.boolean(),
  upload: uploadRequestSchema.nullable(),
  /** What the guest may reach. An instance of an older build does not send it. */
  network: egressPolicySchema.default({ mode: 'none' }),
  /** The digest of the archive on the instance that becomes the workspace; null: none. */
  workspace: digestSchema.nullable().default(null),
  /** Paths below the workspace that the executor sends to the artifact route when the steps have ended, each as a tar archive. */
  artifacts: artifactPathsSchema.default([]),
  /** The variables of the steps that hold secrets of the tenant, which the log of the job mentions. Missing: none. */
  secrets: z.array(secretNameSchema).max(jobSecretsMax).optional(),
  /** The entries of the broker that the steps can use, with their credentials, which stay outside of the guest. Missing: none. */
  broker: z.array(brokerGrantSchema).max(jobBrokerMax).optional(),
  /**
   * Its steps are those of a batch change: only their images and directories are known. The executor asks for one after the other
   * (`batch.ts`), and takes the diff of the repository after each. Missing: they are not.
   */
  batch: z.boolean().optional(),
});
export type NativeJob = z.infer<typeof nativeJobSchema>;
