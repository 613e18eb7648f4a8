import * as z from 'zod';
import { digestSchema, executorNameSchema, jobIdSchema, numberInText } from '../values.ts';

/** Most bytes of the diff of a workspace: 64 MiB. */
export const stepDiffBytesMax = 64 * 2 ** 20;
/** Most characters of a step's stdout, and of its stderr, that the instance gets for the templates of later steps. */
export const stepOutputMax = 2 ** 20;
/** Most steps of a batch job. */
export const batchStepsMax = 200;
/** Most files of a step: those that it mounts and those of its own. */
export const stepFilesMax = 400;

const stepNumber = z
  .int()
  .min(0)
  .max(batchStepsMax - 1);

/** A file at an absolute path of a step, which can read it alone. */
const stepFileSchema = z.union([
  z.object({
    target: z.string().regex(/^\/[^\0]+$/),
    /** Its bytes, in base64. */
    content: z.base64(),
  }),
  z.object({
    target: z.string().regex(/^\/[^\0]+$/),
    /** A blob, which the blob route gives this job. */
    digest: digestSchema,
  }),
]);

/**
 * Native, from version 4 on. `POST /.executors/queue/batches/nextStep`: what a step of a batch job has left, and with it the question for
 * the next one: 200. `done` is null for the first question of an attempt. Idempotent: the same end of a step gets the same answer.
 */
export const nextStepRequestSchema = z.object({
  executorName: executorNameSchema,
  jobId: jobIdSchema,
  done: z
    .object({
      step: stepNumber,
      stdout: z.string().max(stepOutputMax),
      stderr: z.string().max(stepOutputMax),
      /** What `stepDiff` has answered for this step. */
      diff: digestSchema,
    })
    .nullable(),
});
export type NextStepRequest = z.input<typeof nextStepRequestSchema>;

/** The answer to a question for the next step of a batch job. */
export const nextStepSchema = z.object({
  /** Null: there is none, and the job is complete. */
  next: z
    .object({
      /** The number of the step, from 0: of the job's `dockerSteps`. */
      step: stepNumber,
      /** What a shell of its image runs. */
      script: z.string(),
      /** Its variables, as `NAME=value`. */
      env: z.array(z.string()),
      /** The names of those variables that hold secrets, whose values the executor takes out of the log. */
      secrets: z.array(z.string()).default([]),
      files: z.array(stepFileSchema).max(stepFilesMax),
    })
    .nullable(),
  /** What earlier executions have changed: the executor applies this diff before the next step. Only in the first answer of an attempt. */
  restore: z.object({ digest: digestSchema }).nullable(),
  /** The steps between the one that is done and the next one: their conditions are false. */
  skipped: z.array(stepNumber),
});
export type NextStep = z.output<typeof nextStepSchema>;

/**
 * Native, from version 4 on. `POST /.executors/queue/batches/stepDiff?step=N`: everything that the steps up to this one have changed, as
 * `git diff --no-prefix --binary` says it, in raw bytes: 200.
 */
export const stepDiffQuerySchema = z.object({ step: numberInText.pipe(stepNumber) });
export const stepDiffSchema = z.object({ digest: digestSchema });
