import * as z from 'zod';
import { artifactPathSchema, digestSchema } from '../values.ts';

/** What a job brought back from a path below its workspace. */
export const artifactSchema = z.object({
  path: z.string(),
  attempt: z.int().positive(),
  /** Bytes of its archive. */
  bytes: z.int().nonnegative(),
  /** Of its archive. */
  digest: digestSchema,
});
export type Artifact = z.infer<typeof artifactSchema>;

/** `GET /api/jobs/{id}/artifacts`: those of the last attempt. `…/artifacts/{path}` has one, as a tar archive. */
export const artifactsSchema = z.object({ artifacts: z.array(artifactSchema) });

/** `POST /.executors/queue/{queue}/artifact?path=`: the body is a tar archive. */
export const artifactQuerySchema = z.object({ path: artifactPathSchema });
