import { jobIdSchema, numberInText } from '@fumehood/protocol';
import * as z from 'zod';

/** The number of a job, an upload, a token … in a path. */
export const idParam = numberInText.pipe(jobIdSchema);

/** Parameters of `/api/jobs/:id` and of the paths below it. */
export const jobParams = z.object({ id: idParam });
