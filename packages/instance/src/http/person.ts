import type { FastifyInstance, FastifyRequest } from 'fastify';
import { authenticate, type Person, requireScope } from '../auth/people.ts';
import { scopeOf } from '../auth/scopes.ts';
import type { Db } from '../db/connect.ts';

const decorator = 'person';

/**
 * Has the routes of a scope, all made after this, ask for an access token that is good for them (auth/scopes.ts) before they
 * read a body. Errors: `unauthorized`, `scope_missing`.
 */
export function requirePerson(scope: FastifyInstance, db: Db): void {
  scope.decorateRequest(decorator);
  scope.addHook('onRoute', ({ method, url }) => {
    for (const one of [method].flat()) scopeOf(one, url);
  });
  scope.addHook('onRequest', async (request) => {
    const person = await authenticate(db, request);
    requireScope(person, scopeOf(request.method, request.routeOptions.url ?? ''));
    request.setDecorator<Person>(decorator, person);
  });
}

/** Who asks, on a route of a scope that requires to know. */
export function personOf(request: FastifyRequest): Person {
  return request.getDecorator<Person>(decorator);
}
