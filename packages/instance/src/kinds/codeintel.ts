import { type DockerStep, digestSchema, egressPolicySchema, stopGraceSchema } from '@fumehood/protocol';
import * as z from 'zod';
import { blobNotFound, commitNotFound, executorUrlMissing, imageNeedsContainer } from '../errors.ts';
import { demandOf, type QueueKind } from '../queue/kind.ts';
import type { KindStores } from './stores.ts';

const payloadSchema = z.object({
  root: z.string(),
  indexer: z.object({
    name: z.string(),
    /** The digest of an image archive, or a reference to an image in a registry. */
    image: z.string(),
    /** `argv` with an archive, `commands` with a reference. */
    argv: z.array(z.string()).optional(),
    commands: z.array(z.string()).optional(),
  }),
  outfile: z.string(),
  deadlineMs: z.int(),
  stopGraceMs: stopGraceSchema,
  inspect: z.boolean(),
  /** A job that an older build has stored has none. */
  network: egressPolicySchema.default({ mode: 'none' }),
});

/** Returns the kind of indexing jobs: an indexer runs on a commit, and the executor uploads the index that it leaves. */
export function codeintelKind({ hasBlob, hasCommit, hasExecutorUrl }: KindStores): QueueKind<'codeintel'> {
  return {
    name: 'codeintel',
    async create(request) {
      const { repository, commit } = request;
      const { image } = request.indexer;
      const isArchive = isDigest(image);
      if (isArchive && !(await hasBlob(image))) throw blobNotFound(image);
      // An executor that pulls images does not name its tier, so the job must accept the weakest one, and no other.
      if (!isArchive && request.accept.some((tier) => tier !== 'container')) throw imageNeedsContainer(image);
      if (!isArchive && !hasExecutorUrl) throw executorUrlMissing();
      if (!(await hasCommit(repository, commit))) throw commitNotFound(repository, commit);
      return {
        payload: payloadSchema.parse(request),
        repository,
        commit,
        demand: isArchive ? demandOf(request, false) : { ...demandOf(request, false), needsVersion: 0 },
        input: false,
        // Indexing can be repeated: a later upload of the same commit takes the place of an earlier one.
        deadlineMs: request.deadlineMs + request.stopGraceMs,
        maxResets: request.maxResets,
        maxRetries: request.maxRetries,
      };
    },
    broker: () => null,
    content(job) {
      const { root, indexer, outfile, deadlineMs, stopGraceMs, inspect, network } = payloadSchema.parse(
        job.payload,
      );
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
          stopGraceMs,
          stdin: false,
          inspect,
          upload: { file, root, indexer: indexer.name },
          workspace: null,
          artifacts: [],
          network,
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
