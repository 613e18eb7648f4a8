import * as z from 'zod';

/** What the instance reports to its helper once it listens. */
export const listeningSchema = z.object({ url: z.string(), port: z.int() });
export type Listening = z.infer<typeof listeningSchema>;
