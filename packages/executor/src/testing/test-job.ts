import { randomBytes } from 'node:crypto';
import type { Job, NativeJob } from '@fumehood/protocol';

/** Returns a job as a native instance leases it, with defaults for what a test does not set. */
export function testJob(
  job: Partial<Job> = {},
  native: Partial<NativeJob> = {},
): Job & { fumehood: NativeJob } {
  return {
    id: 5,
    // Random, because an inspection searches the VM for it.
    token: randomBytes(32).toString('hex'),
    queue: 'runs',
    repositoryName: '',
    repositoryDirectory: '',
    commit: '',
    fetchTags: false,
    shallowClone: true,
    sparseCheckout: null,
    files: {},
    dockerSteps: [],
    cliSteps: null,
    redactedValues: null,
    ...job,
    fumehood: {
      attempt: 1,
      accept: ['vm-emulated'],
      resources: { cpus: 1, memoryMiB: 256, scratchMiB: 256 },
      leaseMs: 10_000,
      deadlineMs: 60_000,
      stopGraceMs: 10_000,
      stdin: false,
      inspect: false,
      upload: null,
      workspace: null,
      artifacts: [],
      network: { mode: 'none' },
      ...native,
    },
  };
}
