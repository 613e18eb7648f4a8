import {
  artifactPathsSchema,
  commitSchema,
  digestSchema,
  egressPolicySchema,
  imageReferenceSchema,
  repositoryNameSchema,
  stopGraceSchema,
  terminalSizeSchema,
} from '@fumehood/protocol';
import * as z from 'zod';
import { blobNotFound, commitNotFound } from '../errors.ts';
import { demandOf, type QueueKind } from '../queue/kind.ts';
import { imageForExecutor, isArchive } from './image.ts';
import type { KindStores } from './stores.ts';

const payloadSchema = z.object({
  image: z.union([digestSchema, imageReferenceSchema]),
  argv: z.array(z.string()),
  env: z.array(z.string()),
  /** Names alone; a job that an older build has stored has none. */
  secrets: z.array(z.string()).default([]),
  stdin: z.boolean(),
  terminal: terminalSizeSchema.optional(),
  deadlineMs: z.int(),
  stopGraceMs: stopGraceSchema,
  inspect: z.boolean(),
  /** A job that an older build has stored has neither this nor artifacts. */
  workspace: z
    .union([
      z.object({ archive: digestSchema }),
      z.object({ repository: repositoryNameSchema, commit: commitSchema }),
    ])
    .nullable()
    .default(null),
  artifacts: artifactPathsSchema.default([]),
  network: egressPolicySchema.default({ mode: 'none' }),
  broker: z.array(z.string()).default([]),
});

/** Returns the kind of ad-hoc jobs: one command in one image, in a workspace or without one. */
export function runsKind({
  hasBlob,
  hasCommit,
}: Pick<KindStores, 'hasBlob' | 'hasCommit'>): QueueKind<'runs'> {
  return {
    name: 'runs',
    async create(request) {
      if (isArchive(request.image) && !(await hasBlob(request.image))) throw blobNotFound(request.image);
      const { archive, repository = '', commit = '' } = workspaceOf(request.workspace);
      if (archive !== undefined && !(await hasBlob(archive))) throw blobNotFound(archive);
      if (repository !== '' && !(await hasCommit(repository, commit)))
        throw commitNotFound(repository, commit);
      return {
        payload: payloadSchema.parse(request),
        repository,
        commit,
        demand: demandOf(request, needsWhole(request)),
        input: request.stdin,
        // A run has a fresh VM: without a network, the only effect of a lost attempt is its output, which names the attempt.
        deadlineMs: request.deadlineMs + request.stopGraceMs,
        maxResets: request.maxResets,
        maxRetries: request.maxRetries,
      };
    },
    broker: (job) => payloadSchema.parse(job.payload).broker,
    content(job) {
      const run = payloadSchema.parse(job.payload);
      const image = imageForExecutor(run.image);
      return {
        repositoryDirectory: '',
        fetchTags: false,
        shallowClone: true,
        sparseCheckout: null,
        files: {},
        dockerSteps: [{ image, commands: [], dir: '', env: run.env, argv: run.argv }],
        cliSteps: null,
        redactedValues: null,
        fumehood: {
          deadlineMs: run.deadlineMs,
          stopGraceMs: run.stopGraceMs,
          stdin: run.stdin,
          ...(run.terminal && { terminal: run.terminal }),
          inspect: run.inspect,
          upload: null,
          workspace: workspaceOf(run.workspace).archive ?? null,
          artifacts: run.artifacts,
          ...(run.secrets.length > 0 && { secrets: run.secrets }),
          network: run.network,
        },
      };
    },
  };
}

/** Whether a run uses fields that an executor of version 2 may ignore. */
const needsWhole = ({
  workspace,
  artifacts,
  terminal,
  secrets,
  broker,
}: Omit<z.output<typeof payloadSchema>, 'network'>) =>
  (workspace !== null && 'archive' in workspace) ||
  artifacts.length > 0 ||
  terminal !== undefined ||
  secrets.length > 0 ||
  broker.length > 0;

type Workspace = z.output<typeof payloadSchema>['workspace'];

const workspaceOf = (workspace: Workspace): { archive?: string; repository?: string; commit?: string } =>
  workspace ?? {};
