import * as z from 'zod';

/** A processor architecture, as Node names it. */
export const archSchema = z.enum(['x64', 'arm64']);
export type Arch = z.infer<typeof archSchema>;

/** Labels that an admin gives an executor: `gpu`, `region=eu`. */
export const labelsSchema = z
  .array(
    z.string().regex(/^[a-z0-9][a-z0-9._/-]{0,62}(=[A-Za-z0-9._/-]{0,63})?$/, 'must be NAME or NAME=VALUE'),
  )
  .max(32);
