import {
  type BatchSettings,
  type Rollout,
  setBatchSettingsSchema,
  setRolloutSchema,
} from '@fumehood/protocol';
import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { readBatchSettings, removeBatchSettings, setBatchSettings } from '../../batches/settings.ts';
import { readRollout, removeRollout, setRollout } from '../../rollout/settings.ts';
import type { RouteDeps } from '../deps.ts';
import { personOf, requirePerson } from '../person.ts';

/** `/api/batch-settings` and `/api/batch-rollout`: what all batch changes get, and when and how fast they change code hosts. */
export function batchSettingsRoutes(scope: FastifyInstance, { db }: RouteDeps): void {
  const app = scope.withTypeProvider<ZodTypeProvider>();
  requirePerson(scope, db);
  const settings = '/api/batch-settings';
  app.get(settings, (): Promise<BatchSettings> => readBatchSettings(db));
  app.put(settings, { schema: { body: setBatchSettingsSchema } }, (request) =>
    setBatchSettings(db, request.body, personOf(request).name),
  );
  app.delete(settings, async (_request, reply) => {
    await removeBatchSettings(db);
    return reply.code(204).send();
  });

  const rollout = '/api/batch-rollout';
  app.get(rollout, (): Promise<Rollout> => readRollout(db));
  app.put(rollout, { schema: { body: setRolloutSchema } }, (request) =>
    setRollout(db, request.body, personOf(request).name),
  );
  app.delete(rollout, async (_request, reply) => {
    await removeRollout(db);
    return reply.code(204).send();
  });
}
