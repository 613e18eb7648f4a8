import { registriesSchema } from '@fumehood/oci';
import { labelsSchema, queueNameSchema, tierSchema } from '@fumehood/protocol';
import { z } from 'zod';
import { routeSchema } from '../uplink/network-route.ts';

const path = z.string().startsWith('/');

/** What a job gets that does not say it itself, because its instance is one of upstream's kind. */
export const upstreamJobsSchema = z.strictObject({
  /** Tiers that they may run in. */
  accept: z.array(tierSchema).min(1).default(['vm-hardware']),
  /** Of each of them; defaults as upstream's executors have them. */
  resources: z
    .strictObject({
      cpus: z.int().positive().default(4),
      memoryMiB: z.int().positive().default(12_288),
      scratchMiB: z.int().positive().default(20_480),
    })
    .prefault({}),
  /** Wall time of all steps together. */
  deadlineMs: z.int().positive().default(1_800_000),
  /**
   * Run a job that brings its instance's credential into the guest in a form that we cannot take it out of. Its log says
   * `credential exposed` then; without this, such a job is refused.
   */
  exposeCredentials: z.boolean().default(false),
});
export type UpstreamJobs = z.infer<typeof upstreamJobsSchema>;

/** The queues that an executor leases from: several, or one by its own route, as upstream's executors for one queue do. */
export const queuesSchema = z.union([z.array(queueNameSchema).min(1), queueNameSchema]);

/** What the agent is told by whoever starts it; a JSON file, without credentials in it. */
export const agentConfigSchema = z.strictObject({
  instanceUrl: z.url({ protocol: /^https?$/ }),
  route: routeSchema.prefault({}),
  /** Unique among the instance's executors. */
  name: z.string().min(1).max(200),
  version: z.string(),
  queues: queuesSchema.default(['codeintel', 'runs']),
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
  upstream: upstreamJobsSchema.prefault({}),
  /** Registries that are not public, not spoken to by TLS, or have mirrors. */
  registries: registriesSchema.default([]),
  /** Docker's `config.json`, readable by the agent alone: for jobs that bring no credentials of registries. */
  registryAuthFile: path.nullable().default(null),
  /** Allocated bytes of disks and blobs above which the longest unused are removed. */
  cacheBytes: z.int().positive(),
  uploadClient: z.strictObject({ node: path, script: path }),
});
export type AgentConfig = z.infer<typeof agentConfigSchema>;
