import { z } from 'zod';
import { tierSchema } from '../tier.ts';

/** A job id on this wire: a positive integer, unique over all queues of our instance. */
export const jobIdSchema = z.int().positive();
export const commitSchema = z.string().regex(/^[0-9a-f]{40}$/, 'must be 40 lower-case hexadecimal digits');
/** `sha256:` and 64 hexadecimal digits: the name of a blob on the instance. */
export const digestSchema = z
  .string()
  .regex(/^sha256:[0-9a-f]{64}$/, 'must be sha256:<64 hexadecimal digits>');
/** A path below some root: relative, no `..`, no empty part, no NUL. `''` is the root itself. */
export const relativePathSchema = z
  .string()
  .max(4096)
  .refine(
    (path) => path === '' || path.split('/').every((part) => part !== '' && part !== '.' && part !== '..'),
    'must be a relative path without empty, `.` or `..` parts',
  )
  .refine((path) => !path.includes('\0'), 'must not hold a NUL');
/** A reference to an image in a registry, as container engines take it; never a bare digest. */
export const imageReferenceSchema = z
  .string()
  .max(512)
  .regex(
    /^(?!sha256:)[a-z0-9][a-z0-9._-]*(:\d{1,5}(?=\/))?(\/[a-z0-9][a-z0-9._-]*)*(:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(@sha256:[0-9a-f]{64})?$/,
    'must be a reference to an image, such as `name:tag` or `registry/name@sha256:<digest>`',
  );
export const queueNameSchema = z.enum(['codeintel', 'batches', 'runs']);
export type QueueName = z.infer<typeof queueNameSchema>;

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
