import type { FastifyInstance, FastifyRequest } from 'fastify';
import { authenticate, type Person, requireScope } from '../auth/people.ts';
import { requireOwnJob } from '../auth/owner.ts';
import { accessOf } from '../auth/scopes.ts';
import type { Db } from '../db/connect.ts';
import { jobParams } from './params.ts';
import { prove } from './receive.ts';

const decorator = 'person';

/**
 * Makes the routes that are added to a scope from now on check for an access token with their scope, and that a job in their path is
 * the user's own (auth/scopes.ts), before they read a body. Errors: `unauthorized`, `scope_missing`, `job_not_found`.
 */
export function requirePerson(scope: FastifyInstance, db: Db): void {
  scope.decorateRequest(decorator);
  scope.addHook('onRoute', ({ method, url }) => {
    for (const one of [method].flat()) accessOf(one, url);
  });
  scope.addHook('onRequest', async (request) => {
    const person = await authenticate(db, request);
    const { scope: needed, reach } = accessOf(request.method, request.routeOptions.url ?? '');
    requireScope(person, needed);
    request.setDecorator<Person>(decorator, person);
    if (reach === 'own job') {
      // A path without a number is answered by the check of the parameters.
      const named = jobParams.safeParse(request.params);
      if (named.success) await requireOwnJob(db, person, named.data.id);
    }
    prove(request, `person ${person.userId} ${person.token.name}`);
  });
}

/** Returns whose access token a request has, in a scope that requires one. */
export function personOf(request: FastifyRequest): Person {
  return request.getDecorator<Person>(decorator);
}
