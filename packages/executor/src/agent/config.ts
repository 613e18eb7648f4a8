import { labelsSchema, tierSchema } from '@glovebox/protocol';
import { z } from 'zod';
import { routeSchema } from '../uplink/route.ts';

const path = z.string().startsWith('/');

/** What the agent is told by whoever starts it; a JSON file, without credentials in it. */
export const agentConfigSchema = z.strictObject({
  instanceUrl: z.url({ protocol: /^https?$/ }),
  route: routeSchema.prefault({}),
  /** Of which it leases jobs; its credential has to be good for each. */
  queues: z
    .array(z.enum(['codeintel', 'runs']))
    .min(1)
    .default(['codeintel', 'runs']),
  /** Unique among the instance's executors. */
  name: z.string().min(1).max(200),
  version: z.string(),
  /** Holds the executor's credential; readable by the agent alone. */
  credentialFile: path,
  /** What the canary found. */
  tiers: z.array(tierSchema),
  /** What jobs can ask for beside that, e.g. `region=eu`. */
  labels: labelsSchema,
  /** What the helper runs its VMs with. */
  vmm: z.enum(['qemu', 'firecracker']),
  directories: z.strictObject({
    /** Read-only disks; the helper opens them here by name. */
    disks: path,
    /** Image archives. */
    blobs: path,
    /** Emptied when the agent starts. */
    work: path,
  }),
  /** What jobs may use together. */
  resources: z.strictObject({
    cpus: z.int().positive(),
    memoryMiB: z.int().positive(),
    scratchMiB: z.int().positive(),
  }),
  /** Allocated bytes of disks and blobs above which the longest unused are removed. */
  cacheBytes: z.int().positive(),
  uploadClient: z.strictObject({ node: path, script: path }),
});
export type AgentConfig = z.infer<typeof agentConfigSchema>;
