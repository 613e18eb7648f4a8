import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import * as z from 'zod';
import { findArtifact, listArtifacts } from '../../artifacts/store.ts';
import { requireRecord } from '../../queue/record.ts';
import type { RouteDeps } from '../deps.ts';
import { jobParams } from '../params.ts';
import { requirePerson } from '../person.ts';

const artifactParams = jobParams.extend({ '*': z.string() });

/** `GET /api/jobs/{id}/artifacts` lists what a job brought back from its workspace; `…/artifacts/{path}` is one, as a tar archive. */
export function artifactRoutes(scope: FastifyInstance, { db, blobs }: RouteDeps): void {
  const app = scope.withTypeProvider<ZodTypeProvider>();
  requirePerson(scope, db);
  app.get('/api/jobs/:id/artifacts', { schema: { params: jobParams } }, async (request) => {
    const { id } = request.params;
    await requireRecord(db, id);
    return { artifacts: await listArtifacts(db, id) };
  });
  app.get(
    '/api/jobs/:id/artifacts/*',
    { schema: { params: artifactParams }, exposeHeadRoute: false },
    async (request, reply) => {
      const { id, '*': path } = request.params;
      const { digest } = await findArtifact(db, id, path);
      return await reply
        .type('application/x-tar')
        .headers({
          'cache-control': 'no-store',
          'x-content-type-options': 'nosniff',
          'content-disposition': 'attachment',
          'content-length': await blobs.size(digest),
        })
        .send(blobs.read(digest));
    },
  );
}
