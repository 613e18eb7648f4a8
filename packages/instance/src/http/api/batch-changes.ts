import {
  type BatchChangeRecord,
  batchIdSchema,
  type ChangesetRecord,
  closeBatchChangeSchema,
  commentChangesetsSchema,
  listBatchChangesSchema,
  mergeChangesetsSchema,
  moveBatchChangeSchema,
  publishChangesetsSchema,
  someChangesetsSchema,
} from '@fumehood/protocol';
import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import * as z from 'zod';
import {
  archiveChangesets,
  closeBatchChange,
  closeChangesets,
  commentChangesets,
  detachChangesets,
  mergeChangesets,
  publishChangesets,
  reenqueueChangesets,
} from '../../changesets/actions.ts';
import {
  deleteBatchChange,
  listBatchChanges,
  listChangesets,
  moveBatchChange,
  readBatchChange,
  requireBatchChange,
} from '../../changesets/batch-changes.ts';
import { transaction } from '../../db/transaction.ts';
import { resumeWaves } from '../../rollout/turn.ts';
import type { RouteDeps } from '../deps.ts';
import { personOf, requirePerson } from '../person.ts';

const params = z.object({ batchChange: batchIdSchema });

/** `/api/batch-changes`: what batch specs were applied to, and their changesets. */
export function batchChangeRoutes(scope: FastifyInstance, { db }: RouteDeps): void {
  const app = scope.withTypeProvider<ZodTypeProvider>();
  requirePerson(scope, db);
  const one = '/api/batch-changes/:batchChange';

  app.get(
    '/api/batch-changes',
    { schema: { querystring: listBatchChangesSchema } },
    async (request): Promise<{ batchChanges: BatchChangeRecord[] }> => ({
      batchChanges: await listBatchChanges(db, personOf(request), request.query),
    }),
  );
  app.get(one, { schema: { params } }, (request) =>
    readBatchChange(db, personOf(request), request.params.batchChange),
  );
  app.delete(one, { schema: { params } }, async (request, reply) => {
    await deleteBatchChange(db, personOf(request), request.params.batchChange);
    return reply.code(204).send();
  });
  app.post(`${one}/move`, { schema: { params, body: moveBatchChangeSchema } }, async (request) => {
    const { batchChange } = request.params;
    await moveBatchChange(db, personOf(request), batchChange, request.body);
    return await readBatchChange(db, personOf(request), batchChange);
  });
  app.get(
    `${one}/changesets`,
    { schema: { params } },
    async (request): Promise<{ changesets: ChangesetRecord[] }> => ({
      changesets: await listChangesets(db, personOf(request), request.params.batchChange),
    }),
  );
  app.post(`${one}/close`, { schema: { params, body: closeBatchChangeSchema } }, async (request) => {
    const { batchChange } = request.params;
    await closeBatchChange(db, personOf(request), batchChange, request.body);
    return await readBatchChange(db, personOf(request), batchChange);
  });
  app.post(`${one}/publish`, { schema: { params, body: publishChangesetsSchema } }, async (request) => {
    const { batchChange } = request.params;
    await publishChangesets(db, personOf(request), batchChange, request.body);
    return await readBatchChange(db, personOf(request), batchChange);
  });
  app.post(`${one}/merge`, { schema: { params, body: mergeChangesetsSchema } }, async (request) => {
    const [person, { batchChange }] = [personOf(request), request.params];
    await mergeChangesets(db, person, batchChange, request.body.changesets, request.body);
    return await readBatchChange(db, person, batchChange);
  });
  app.post(`${one}/comment`, { schema: { params, body: commentChangesetsSchema } }, async (request) => {
    const [person, { batchChange }] = [personOf(request), request.params];
    await commentChangesets(db, person, batchChange, request.body.changesets, request.body);
    return await readBatchChange(db, person, batchChange);
  });
  app.post(`${one}/resume`, { schema: { params } }, async (request) => {
    const [person, { batchChange }] = [personOf(request), request.params];
    await transaction(db, async (tx) => {
      const { id } = await requireBatchChange(tx, person, batchChange);
      await resumeWaves(tx, id);
    });
    return await readBatchChange(db, person, batchChange);
  });
  for (const [action, act] of [
    ['close-changesets', closeChangesets],
    ['archive', archiveChangesets],
    ['detach', detachChangesets],
    ['reenqueue', reenqueueChangesets],
  ] as const)
    app.post(`${one}/${action}`, { schema: { params, body: someChangesetsSchema } }, async (request) => {
      const { batchChange } = request.params;
      await act(db, personOf(request), batchChange, request.body.changesets);
      return await readBatchChange(db, personOf(request), batchChange);
    });
}
