import { digestSchema } from '@glovebox/protocol';
import { z } from 'zod';
import { blobNotFound, commitNotFound } from '../errors.ts';
import { demandOf, type QueueKind } from '../queue/kind.ts';

const payloadSchema = z.object({
  root: z.string(),
  indexer: z.object({ name: z.string(), image: digestSchema, argv: z.array(z.string()) }),
  outfile: z.string(),
  deadlineMs: z.int(),
  inspect: z.boolean(),
});

/** Indexing jobs: an indexer runs on a commit, and the index that it leaves is uploaded by the executor. */
export function codeintelKind(has: {
  blob(digest: string): Promise<boolean>;
  commit(repository: string, commit: string): Promise<boolean>;
}): QueueKind {
  return {
    name: 'codeintel',
    async create(request) {
      if (request.queue !== 'codeintel') throw new TypeError(`not an indexing job: ${request.queue}`);
      const { repository, commit } = request;
      if (!(await has.blob(request.indexer.image))) throw blobNotFound(request.indexer.image);
      if (!(await has.commit(repository, commit))) throw commitNotFound(repository, commit);
      return {
        payload: payloadSchema.parse(request),
        repository,
        commit,
        demand: demandOf(request),
        input: false,
        // Indexing reads and uploads: to do it again changes nothing but the result of the same commit.
        maxResets: request.maxResets,
        maxRetries: request.maxRetries,
      };
    },
    content(job) {
      const { root, indexer, outfile, deadlineMs, inspect } = payloadSchema.parse(job.payload);
      const file = root === '' ? outfile : `${root}/${outfile}`;
      return {
        repositoryDirectory: '',
        fetchTags: false,
        shallowClone: true,
        sparseCheckout: null,
        files: {},
        dockerSteps: [
          {
            key: 'indexer',
            image: `blob:${indexer.image}`,
            commands: [],
            dir: root,
            env: [],
            argv: indexer.argv,
          },
        ],
        cliSteps: null,
        redactedValues: null,
        glovebox: {
          deadlineMs,
          stdin: false,
          inspect,
          upload: { file, root, indexer: indexer.name },
        },
      };
    },
  };
}
