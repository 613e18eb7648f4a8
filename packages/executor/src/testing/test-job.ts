import { randomBytes } from 'node:crypto';
import type { Job, NativeJob } from '@fumehood/protocol';

/** A job as our instance leases it, with what a test does not care about filled in. */
export function testJob(
  job: Partial<Job> = {},
  native: Partial<NativeJob> = {},
): Job & { fumehood: NativeJob } {
  return {
    id: 5,
    // As unlikely to be in a VM by chance as a real one: jobs search their VM for it.
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
      stdin: false,
      inspect: false,
      upload: null,
      ...native,
    },
  };
}
