import { z } from 'zod';
import { digestSchema } from '@fumehood/protocol';
import { blobNotFound } from '../errors.ts';
import { demandOf, type QueueKind } from '../queue/kind.ts';

const payloadSchema = z.object({
  image: digestSchema,
  argv: z.array(z.string()),
  env: z.array(z.string()),
  stdin: z.boolean(),
  deadlineMs: z.int(),
  inspect: z.boolean(),
});

/** Ad-hoc jobs: one command in one image, without a repository. */
export function runsKind(blobs: { has(digest: string): Promise<boolean> }): QueueKind {
  return {
    name: 'runs',
    async create(request) {
      if (request.queue !== 'runs') throw new TypeError(`not a run: ${request.queue}`);
      if (!(await blobs.has(request.image))) throw blobNotFound(request.image);
      return {
        payload: payloadSchema.parse(request),
        repository: '',
        commit: '',
        demand: demandOf(request),
        input: request.stdin,
        // A fresh VM without a network: an attempt that was lost had no effect but its output, which names its attempt.
        maxResets: request.maxResets,
        maxRetries: request.maxRetries,
      };
    },
    content(job) {
      const run = payloadSchema.parse(job.payload);
      return {
        repositoryDirectory: '',
        fetchTags: false,
        shallowClone: true,
        sparseCheckout: null,
        files: {},
        dockerSteps: [{ image: `blob:${run.image}`, commands: [], dir: '', env: run.env, argv: run.argv }],
        cliSteps: null,
        redactedValues: null,
        fumehood: { deadlineMs: run.deadlineMs, stdin: run.stdin, inspect: run.inspect, upload: null },
      };
    },
  };
}
