import { batchSpecJsonSchema } from '@fumehood/batch-spec';
import {
  applyBatchSpecSchema,
  type BatchChangeRecord,
  type BatchSpecRecord,
  batchIdSchema,
  cancelBatchSpecSchema,
  createBatchSpecSchema,
  executeBatchSpecSchema,
  listWorkspacesSchema,
  type Preview,
  retryBatchSpecSchema,
  type WorkspaceDetail,
  type WorkspacePage,
} from '@fumehood/protocol';
import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import * as z from 'zod';
import type { Person } from '../../auth/people.ts';
import { batchWorkspaceNotFound } from '../../batches/errors.ts';
import {
  cancelBatchSpec,
  cancelWorkspaces,
  executeBatchSpec,
  executeWorkspaces,
  retryBatchSpec,
  retryWorkspaces,
} from '../../batches/execution/control.ts';
import { deleteBatchSpec } from '../../batches/replace.ts';
import { createBatchSpec, readBatchSpec } from '../../batches/specs.ts';
import { listWorkspaces, readShownDiff, readWorkspace, requireWorkspace } from '../../batches/workspaces.ts';
import { applyBatchSpec } from '../../changesets/apply.ts';
import { readBatchChange } from '../../changesets/batch-changes.ts';
import { previewBatchSpec } from '../../changesets/preview.ts';
import type { Db } from '../../db/connect.ts';
import type { RouteDeps } from '../deps.ts';
import { personOf, requirePerson } from '../person.ts';

const params = z.object({ spec: batchIdSchema });
const workspaceParams = params.extend({ workspace: batchIdSchema });

/** `/api/batch-specs`: what is to be changed, where and how; its execution, and what would follow from it. */
export function batchSpecRoutes(scope: FastifyInstance, deps: RouteDeps): void {
  const { db } = deps;
  const app = scope.withTypeProvider<ZodTypeProvider>();
  requirePerson(scope, db);
  const one = '/api/batch-specs/:spec';

  app.get('/api/batch-spec-schema', async () => batchSpecJsonSchema());
  app.post('/api/batch-specs', { schema: { body: createBatchSpecSchema } }, async (request, reply) => {
    const person = personOf(request);
    const { namespace = person.name, execute, ...spec } = request.body;
    const { publicId } = await createBatchSpec(deps, person, {
      ...spec,
      ...{ namespace, origin: 'server', batchChangeId: null },
    });
    if (execute) await executeBatchSpec(deps, person, publicId, {});
    return reply.code(201).send(await readBatchSpec(db, person, publicId));
  });
  app.get(
    one,
    { schema: { params } },
    (request): Promise<BatchSpecRecord> => readBatchSpec(db, personOf(request), request.params.spec),
  );
  app.delete(one, { schema: { params } }, async (request, reply) => {
    await deleteBatchSpec(db, personOf(request), request.params.spec);
    return reply.code(204).send();
  });
  app.get(
    `${one}/workspaces`,
    { schema: { params, querystring: listWorkspacesSchema } },
    (request): Promise<WorkspacePage> =>
      listWorkspaces(db, personOf(request), request.params.spec, request.query),
  );
  app.get(
    `${one}/workspaces/:workspace`,
    { schema: { params: workspaceParams } },
    (request): Promise<WorkspaceDetail> => readDetail(deps, personOf(request), request.params.workspace),
  );
  app.get(
    `${one}/preview`,
    { schema: { params } },
    (request): Promise<Preview> => previewBatchSpec(db, personOf(request), request.params.spec),
  );
  app.post(
    `${one}/apply`,
    { schema: { params, body: applyBatchSpecSchema } },
    async (request): Promise<BatchChangeRecord> => {
      const applied = await applyBatchSpec(deps, personOf(request), request.params.spec, request.body);
      return await readBatchChange(db, personOf(request), applied.publicId);
    },
  );
  app.post(`${one}/execute`, { schema: { params, body: executeBatchSpecSchema } }, async (request) => {
    const [person, { spec }] = [personOf(request), request.params];
    const { workspaces, ...options } = request.body;
    if (workspaces === undefined) await executeBatchSpec(deps, person, spec, options);
    else await executeWorkspaces(deps, person, await requireOf(db, person, spec, workspaces));
    return await readBatchSpec(db, person, spec);
  });
  app.post(`${one}/cancel`, { schema: { params, body: cancelBatchSpecSchema } }, async (request) => {
    const [person, { spec }] = [personOf(request), request.params];
    const workspaces = request.body?.workspaces;
    if (workspaces === undefined) await cancelBatchSpec(deps, person, spec);
    else await cancelWorkspaces(deps, person, await requireOf(db, person, spec, workspaces));
    return await readBatchSpec(db, person, spec);
  });
  app.post(`${one}/retry`, { schema: { params, body: retryBatchSpecSchema } }, async (request) => {
    const [person, { spec }] = [personOf(request), request.params];
    const { workspaces, ...options } = request.body;
    if (workspaces === undefined) await retryBatchSpec(deps, person, spec, options);
    else await retryWorkspaces(deps, person, await requireOf(db, person, spec, workspaces));
    return await readBatchSpec(db, person, spec);
  });
}

/** Returns the ids of workspaces of a batch spec. Errors: `batch_workspace_not_found`. */
async function requireOf(
  db: Db,
  person: Person,
  spec: string,
  workspaces: readonly string[],
): Promise<readonly string[]> {
  for (const one of workspaces)
    if ((await requireWorkspace(db, person, one)).spec !== spec) throw batchWorkspaceNotFound(one);
  return workspaces;
}

/** Returns a workspace with its diff, unless that is large. Errors: `batch_workspace_not_found`. */
async function readDetail(
  { db, blobs }: RouteDeps,
  person: Person,
  workspace: string,
): Promise<WorkspaceDetail> {
  const { diffDigest, ...detail } = await readWorkspace(db, person, workspace);
  return { ...detail, diff: await readShownDiff(blobs, diffDigest) };
}
