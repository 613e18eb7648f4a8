import type { FastifyInstance, FastifyRequest } from 'fastify';
import { authenticateExecutor, type ExecutorCredential } from '../auth/executor.ts';
import type { Db } from '../db/connect.ts';
import { prove } from './receive.ts';

const decorator = 'credential';

/** Makes the routes of a scope check for the credential of an executor before they read a body. Errors: those of `authenticateExecutor`. */
export function requireCredential(scope: FastifyInstance, db: Db): void {
  scope.decorateRequest(decorator);
  scope.addHook('onRequest', async (request) => {
    const credential = await authenticateExecutor(db, request);
    request.setDecorator<ExecutorCredential>(decorator, credential);
    prove(request, `credential ${credential.id}`);
  });
}

/** Returns the credential of a request, in a scope that requires one. */
export function credentialOf(request: FastifyRequest): ExecutorCredential {
  return request.getDecorator<ExecutorCredential>(decorator);
}
