import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';

const recordedSchema = z.array(
  z.object({
    trial: z.string(),
    exit: z.union([z.int(), z.literal('SIGTERM')]),
    /** The execution input that it was given, as JSON unless the trial is about another text. */
    input: z.string(),
    /** The lines that it printed, which are events; those about images are left out where the trial is not about them. */
    stdout: z.array(z.string()),
  }),
);

/** Returns the trials in which upstream's `src batch exec` was recorded. */
export function recordedExecs(): z.output<typeof recordedSchema> {
  return recordedSchema.parse(JSON.parse(readFileSync(join(import.meta.dirname, 'batch-exec.json'), 'utf8')));
}
