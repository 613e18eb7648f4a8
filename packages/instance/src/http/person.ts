import type { FastifyInstance, FastifyRequest } from 'fastify';
import { authenticate, type Person, requireScope } from '../auth/people.ts';
import { scopeOf } from '../auth/scopes.ts';
import type { Db } from '../db/connect.ts';

const decorator = 'person';

/**
 * Makes the routes that are added to a scope from now on check for an access token with their scope (auth/scopes.ts), before they
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

/** Returns whose access token a request has, in a scope that requires one. */
export function personOf(request: FastifyRequest): Person {
  return request.getDecorator<Person>(decorator);
}
