import type { FastifyInstance } from 'fastify';
import type { UploadGrant } from '../../auth/upload.ts';
import { forbidden } from '../../errors.ts';
import type { RouteDeps } from '../deps.ts';
import { addIndexUpload } from '../index-upload.ts';
import { prove } from '../receive.ts';

const decorator = 'grant';

/** `POST /.executors/{scip,lsif}/upload`: the index of a job, as `src code-intel upload` sends it. */
export function indexUploadRoutes(scope: FastifyInstance, deps: RouteDeps): void {
  const { jobAuth } = deps;
  scope.decorateRequest(decorator);
  scope.addHook('onRequest', async (request) => {
    const grant = await jobAuth.authenticateUpload(request);
    request.setDecorator<UploadGrant>(decorator, grant);
    prove(request, `job ${grant.jobId}`);
  });
  addIndexUpload(scope, deps, '/.executors', {
    receiving: 'indexUpload',
    storing: 'index',
    check: async (request, { repository, commit, root, jobId }) => {
      const grant = request.getDecorator<UploadGrant>(decorator);
      if (
        repository !== grant.repository ||
        commit !== grant.commit ||
        (grant.root !== null && root !== grant.root) ||
        (jobId !== null && jobId !== grant.jobId)
      )
        throw forbidden('invalid token');
      return { grant };
    },
  });
}
