import { z } from 'zod';
import { tierSchema } from '../tier.ts';
import { relativePathSchema } from '../values.ts';

/** One container step, as upstream's executors know it, with what only ours understand in `argv`. */
export const dockerStepSchema = z.object({
  key: z.string().max(200).optional(),
  /** A reference to an image in a registry. From our instance also `blob:<digest>`, an image archive on the instance. */
  image: z.string().max(1024),
  /** Lines of a `/bin/sh` script, run in place of the image's entrypoint. Empty when `argv` is given. */
  commands: z.array(z.string()).nullish(),
  /** Working directory below the workspace. */
  dir: z.string().max(4096).nullish(),
  env: z.array(z.string()).nullish(),
  /** Native: arguments with Docker's meaning: they replace the image's Cmd and follow its Entrypoint. */
  argv: z.array(z.string()).optional(),
});
export type DockerStep = z.infer<typeof dockerStepSchema>;

/** Arguments of the `src` command, run beside the containers. No job of our instance has one. */
export const cliStepSchema = z.object({
  key: z.string().max(200).optional(),
  command: z.array(z.string()),
  dir: z.string().max(4096).nullish(),
  env: z.array(z.string()).nullish(),
});

/** A file that a step leaves and that the executor sends to the upload route with `src` after the last step. */
export const uploadRequestSchema = z.object({
  /** Path of the index file from the root of the workspace. */
  file: relativePathSchema,
  /** Root of the index, from the root of the repository; `''` is the repository itself. */
  root: relativePathSchema,
  indexer: z.string().max(200),
});

/** What only our executors understand; the header `x-fumehood-protocol` says that they do. */
export const nativeJobSchema = z.object({
  attempt: z.int().positive(),
  /** Tiers the job accepts; the executor refuses to start it in any other. */
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
  /** The job's stdin is on the input route; otherwise its first step reads an ended stdin. */
  stdin: z.boolean(),
  /** Search the paused VM for the run's credentials before it is destroyed, and report the count. */
  inspect: z.boolean(),
  upload: uploadRequestSchema.nullable(),
});
export type NativeJob = z.infer<typeof nativeJobSchema>;
