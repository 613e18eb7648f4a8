import { ipcErrorSchema } from '@fumehood/base';
import { imageConfigMax } from '@fumehood/oci';
import * as z from 'zod';

/** Paths in the sandbox of the disk maker. */
export const insidePaths = {
  /** The archive of the image, or of the workspace. */
  archive: '/archive',
  /** The bare repository that holds the commit. */
  repository: '/repository',
  /** The directory of the disk, which is the only one that can be written. */
  out: '/out',
  disk: '/out/disk',
} as const;

const path = z.string().max(4096);

/** What the disk maker is asked for: one line of JSON on its stdin, followed by the contents of the files. */
export const diskRequestSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('image') }),
  /** Programs of this host. */
  z.object({ type: z.literal('tools') }),
  z.object({
    type: z.literal('workspace'),
    commit: z.object({ id: z.string(), shallow: z.boolean() }).nullable(),
    directory: path,
    sparse: z.array(path),
    files: z.array(z.object({ path, mtime: z.number(), bytes: z.int().nonnegative() })),
    /** Whether the archive is the workspace, and nothing else is. */
    archive: z.boolean(),
  }),
]);
export type DiskRequest = z.infer<typeof diskRequestSchema>;

const owner = z
  .int()
  .min(0)
  .max(2 ** 32 - 2);
const strings = z.array(z.string()).readonly();
/**
 * What the disk maker answers on its stdout. It has read a tenant's bytes, so it may be taken over by them: only these codes are
 * passed on, because others, such as `lease_lost`, mean something to the agent.
 */
export const diskAnswerSchema = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('image'),
    config: z.object({
      env: strings,
      entrypoint: strings,
      cmd: strings,
      user: z.string(),
      workingDir: z.string(),
      volumes: strings.optional(),
      stopSignal: z.int().min(1).max(64).optional(),
      warning: z.string().max(500).optional(),
      root: z.object({ mode: z.int().min(0).max(0o7777), uid: owner, gid: owner }).optional(),
    }),
  }),
  z.object({ type: z.literal('workspace'), files: z.int().nonnegative() }),
  z.object({ type: z.literal('tools') }),
  z.object({
    type: z.literal('failed'),
    error: ipcErrorSchema.extend({
      code: z.enum([
        'image_invalid',
        'image_not_found',
        'image_too_big',
        'tar_invalid',
        'tar_too_big',
        'repository_invalid',
        'job_refused',
        'disk_invalid',
        'program_failed',
        'internal',
      ]),
    }),
  }),
]);
export type DiskAnswer = z.infer<typeof diskAnswerSchema>;

/** Largest answer, bytes: a configuration or an error. */
export const answerMax = imageConfigMax + 65_536;
