import { jobIdSchema } from '@fumehood/protocol';
import { z } from 'zod';

/** The number of a job, an upload, a token … in a path. */
export const idParam = z.coerce.number().pipe(jobIdSchema);

/** Parameters of `/api/jobs/:id` and of the paths below it. */
export const jobParams = z.object({ id: idParam });
