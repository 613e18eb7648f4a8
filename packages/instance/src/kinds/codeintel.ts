import { type DockerStep, egressPolicySchema, stopGraceSchema } from '@fumehood/protocol';
import * as z from 'zod';
import { packageOfRepository } from '../dependencies/packages.ts';
import { blobNotFound, commitNotFound, executorUrlMissing } from '../errors.ts';
import { demandOf, type QueueKind } from '../queue/kind.ts';
import { imageForExecutor, isArchive } from './image.ts';
import type { KindStores } from './stores.ts';

const payloadSchema = z.object({
  root: z.string(),
  /** A job that an older build has stored has none. */
  steps: z
    .array(z.object({ image: z.string(), commands: z.array(z.string()), root: z.string() }))
    .default([]),
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
  /** Missing: all that are for the queue and the repository. */
  broker: z.array(z.string()).optional(),
  /** Names alone; a job that an older build has stored has none. */
  secrets: z.array(z.string()).default([]),
});

/** Returns the kind of indexing jobs: an indexer runs on a commit, and the executor uploads the index that it leaves. */
export function codeintelKind({ hasBlob, hasCommit, hasExecutorUrl }: KindStores): QueueKind<'codeintel'> {
  return {
    name: 'codeintel',
    async create(request) {
      const { repository, commit } = request;
      const images = [request.indexer, ...request.steps].map(({ image }) => image);
      for (const image of images.filter(isArchive)) if (!(await hasBlob(image))) throw blobNotFound(image);
      // An executor of upstream's kind names no tier, so such a job accepts the weakest one, and no other.
      const forUpstream =
        !images.some(isArchive) &&
        request.accept.every((tier) => tier === 'container') &&
        !request.broker?.length;
      if (forUpstream && !hasExecutorUrl) throw executorUrlMissing();
      if (!(await hasCommit(repository, commit))) throw commitNotFound(repository, commit);
      return {
        payload: payloadSchema.parse(request),
        repository,
        commit,
        demand: forUpstream
          ? { ...demandOf(request, false), needsVersion: 0 }
          : demandOf(request, request.secrets.length > 0 || request.broker !== undefined),
        input: false,
        // Indexing can be repeated: a later upload of the same commit takes the place of an earlier one.
        deadlineMs: request.deadlineMs + request.stopGraceMs,
        maxResets: request.maxResets,
        maxRetries: request.maxRetries,
      };
    },
    broker: (job) => payloadSchema.parse(job.payload).broker ?? null,
    content(job) {
      const { root, steps, indexer, outfile, deadlineMs, stopGraceMs, inspect, network, secrets } =
        payloadSchema.parse(job.payload);
      const env = packageVariables(job.repository);
      const file = root === '' ? outfile : `${root}/${outfile}`;
      return {
        repositoryDirectory: '',
        fetchTags: false,
        shallowClone: true,
        sparseCheckout: null,
        files: {},
        dockerSteps: [
          ...steps.map((step, index) => stepOf(`pre-index.${index}`, step, step.root, env)),
          stepOf('indexer', indexer, root, env),
        ],
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
          ...(secrets.length > 0 && { secrets }),
          network,
        },
      };
    },
  };
}

/** Returns the variables of a job that indexes a package. */
function packageVariables(repository: string): string[] {
  const found = packageOfRepository(repository);
  return found === null ? [] : [`PACKAGE_NAME=${found.name}`, `PACKAGE_VERSION=${found.version}`];
}

function stepOf(
  key: string,
  {
    image,
    argv,
    commands = [],
  }: {
    readonly image: string;
    readonly argv?: string[] | undefined;
    readonly commands?: string[] | undefined;
  },
  dir: string,
  env: string[],
): DockerStep {
  return { key, image: imageForExecutor(image), commands, dir, env, ...(argv && { argv }) };
}
