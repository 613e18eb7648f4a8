import { registriesSchema } from '@fumehood/oci';
import {
  egressPolicySchema,
  executorNameSchema,
  labelsSchema,
  queueNameSchema,
  tierSchema,
} from '@fumehood/protocol';
import * as z from 'zod';
import { routeSchema } from './uplink/network-route.ts';

const path = z.string().startsWith('/');

/** Settings for the jobs of an instance of upstream's kind, which do not state them. */
export const upstreamJobsSchema = z.strictObject({
  /** Tiers that such a job may run in. */
  accept: z.array(tierSchema).min(1).default(['vm-hardware']),
  /** Resources of each such job. The defaults are those of upstream's executors. */
  resources: z
    .strictObject({
      cpus: z.int().positive().default(4),
      memoryMiB: z.int().positive().default(12_288),
      scratchMiB: z.int().positive().default(20_480),
    })
    .prefault({}),
  /** Wall time of all steps of a job together. */
  deadlineMs: z.int().positive().default(1_800_000),
  /**
   * Runs a job that holds its instance's credential in a place from which the executor cannot remove it, and writes
   * `credential exposed` into its log. Without this, such a job is refused.
   */
  exposeCredentials: z.boolean().default(false),
});
export type UpstreamJobs = z.infer<typeof upstreamJobsSchema>;

/** The queues that an executor leases from: a list, or the name of one queue, which is leased from by the route of that queue. */
const queuesSchema = z.union([z.array(queueNameSchema).min(1), queueNameSchema]);

/** The settings of an executor that its helper passes on to its agent. */
export const executorSettings = {
  version: z.string().min(1),
  /** `unix:` and the path of its socket for an instance on this machine. */
  instanceUrl: z.url({ protocol: /^(https?|unix)$/ }),
  route: routeSchema.prefault({}),
  /** Unique among the instance's executors. */
  name: executorNameSchema,
  queues: queuesSchema.default([...queueNameSchema.options]),
  /** The file with the executor's credential. Only the agent can read it. */
  credentialFile: path,
  /** The tiers that the canary found on this machine. */
  tiers: z.array(tierSchema),
  /** Labels that a job can ask for, e.g. `region=eu`. */
  labels: labelsSchema,
  /** Resources of all jobs and their VMMs together. */
  resources: z.strictObject({
    cpus: z.int().positive(),
    memoryMiB: z.int().positive(),
    scratchMiB: z.int().positive(),
  }),
  upstream: upstreamJobsSchema.prefault({}),
  /** Registries on private addresses, without TLS, or with mirrors. */
  registries: registriesSchema.default([]),
  /** Docker's `config.json`, with the credentials of this executor for registries. Only the agent can read it. */
  registryAuthFile: path.nullable().default(null),
  /** What jobs of this executor may reach at most. */
  egressCeiling: egressPolicySchema.default({ mode: 'public' }),
  /** Largest image of a registry: its compressed layers together. */
  imageMaxMiB: z.int().positive().default(16_384),
  /** The limit of the cache: allocated bytes of image archives and disks. Those that were not used for the longest time are removed. */
  cacheBytes: z.int().positive(),
};
