import { type DockerStep, digestSchema } from '@fumehood/protocol';
import { z } from 'zod';
import { blobNotFound, commitNotFound, executorUrlMissing, imageNeedsContainer } from '../errors.ts';
import { demandOf, type QueueKind } from '../queue/kind.ts';

const payloadSchema = z.object({
  root: z.string(),
  indexer: z.object({
    name: z.string(),
    /** The digest of an archive, or a reference. */
    image: z.string(),
    /** One of them, as the image is an archive or a reference. */
    argv: z.array(z.string()).optional(),
    commands: z.array(z.string()).optional(),
  }),
  outfile: z.string(),
  deadlineMs: z.int(),
  inspect: z.boolean(),
});

/** Indexing jobs: an indexer runs on a commit, and the index that it leaves is uploaded by the executor. */
export function codeintelKind(has: {
  blob(digest: string): Promise<boolean>;
  commit(repository: string, commit: string): Promise<boolean>;
  /** Upstream's executors are told where to upload to. */
  readonly executorUrl: boolean;
}): QueueKind {
  return {
    name: 'codeintel',
    async create(request) {
      if (request.queue !== 'codeintel') throw new TypeError(`not an indexing job: ${request.queue}`);
      const { repository, commit } = request;
      const { image } = request.indexer;
      const isArchive = isDigest(image);
      if (isArchive && !(await has.blob(image))) throw blobNotFound(image);
      // Who pulls images says nothing of its isolation: a job may go there only if that is all that it asks for.
      if (!isArchive && request.accept.some((tier) => tier !== 'container')) throw imageNeedsContainer(image);
      if (!isArchive && !has.executorUrl) throw executorUrlMissing();
      if (!(await has.commit(repository, commit))) throw commitNotFound(repository, commit);
      return {
        payload: payloadSchema.parse(request),
        repository,
        commit,
        demand: { ...demandOf(request), needsNative: isArchive },
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
        dockerSteps: [stepOf(indexer, root)],
        cliSteps: null,
        redactedValues: null,
        fumehood: {
          deadlineMs,
          stdin: false,
          inspect,
          upload: { file, root, indexer: indexer.name },
        },
      };
    },
  };
}

const isDigest = (image: string) => digestSchema.safeParse(image).success;

function stepOf(indexer: z.output<typeof payloadSchema>['indexer'], dir: string): DockerStep {
  const { image, argv = [], commands = [] } = indexer;
  const step = { key: 'indexer', image, commands, dir, env: [] };
  return isDigest(image) ? { ...step, image: `blob:${image}`, argv } : step;
}
