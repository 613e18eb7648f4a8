import * as z from 'zod';
import { vmmsSchema } from '../host/vmms.ts';
import { executorSettings } from '../settings.ts';

const path = z.string().startsWith('/');

/** The agent's configuration file, written by the helper. It holds no credentials. */
export const agentConfigSchema = z.strictObject({
  ...executorSettings,
  /** Whether guests can have a network. */
  network: z.boolean(),
  /** The VMMs that the helper starts. */
  vmms: vmmsSchema,
  directories: z.strictObject({
    /** Read-only disks. The helper opens them by their names. */
    disks: path,
    /** Image archives. */
    blobs: path,
    /** Working directories of jobs. Emptied when the agent starts. */
    work: path,
  }),
  uploadClient: z.strictObject({ node: path, script: path }),
  /** The bundled disk maker, which runs on the same Node. */
  diskMaker: path,
});
export type AgentConfig = z.infer<typeof agentConfigSchema>;
