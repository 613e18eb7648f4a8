import { createReadStream } from 'node:fs';
import { packMax } from '@fumehood/git';
import { putHistorySchema } from '@fumehood/protocol';
import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { indexByPolicies } from '../../indexing/by-policies.ts';
import { packTooBig } from '../../repos/errors.ts';
import { receiveHistory } from '../../repos/receive-history.ts';
import { readRepository } from '../../repos/records.ts';
import { readStream, streamOf } from '../body.ts';
import type { RouteDeps } from '../deps.ts';
import { goneSignal } from '../gone.ts';
import { repositoryParam } from '../params.ts';
import { requirePerson } from '../person.ts';
import { holderOf } from '../receive.ts';

/** `PUT /api/histories/{name}`: clients send the history of a repository that has no URL. */
export function historyRoutes(scope: FastifyInstance, deps: RouteDeps): void {
  const { db, staging, turns } = deps;
  const app = scope.withTypeProvider<ZodTypeProvider>();
  requirePerson(scope, db);
  readStream(scope);
  app.put('/api/histories/*', { schema: { querystring: putHistorySchema } }, async (request, reply) => {
    const name = repositoryParam(request);
    const [holder, gone] = [holderOf(request), goneSignal(reply)];
    {
      using _upload = await turns.upload.take(holder, gone);
      await using pack = await staging.write(streamOf(request), packMax, packTooBig);
      using _check = await turns.pack.take(holder, gone);
      await receiveHistory(deps, name, request.query, () => createReadStream(pack.path));
    }
    await indexByPolicies({ ...deps, log: request.log }, name);
    return readRepository(db, name);
  });
}
