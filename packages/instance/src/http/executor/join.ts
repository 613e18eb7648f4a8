import type { JoinedExecutor } from '@fumehood/protocol';
import type { FastifyInstance } from 'fastify';
import { secretIn } from '../../auth/header.ts';
import { joinExecutor, joinScheme } from '../../auth/join.ts';
import type { RouteDeps } from '../deps.ts';
import { prove } from '../receive.ts';

const decorator = 'joined';

/**
 * `POST /.executors/join`, with `Authorization: token-join TOKEN`: the credential, name, queues and labels of a new executor. The token is
 * valid once, and is used before the body is read, which means nothing. Errors: `join_token_invalid`.
 */
export function joinRoutes(scope: FastifyInstance, { db }: RouteDeps): void {
  scope.decorateRequest(decorator);
  scope.addHook('onRequest', async (request) => {
    const joined = await joinExecutor(db, secretIn(request, [joinScheme]));
    request.setDecorator<JoinedExecutor>(decorator, joined);
    prove(request, `executor ${joined.name}`);
  });
  scope.post('/.executors/join', async (request, reply) => {
    void reply.header('cache-control', 'no-store');
    return request.getDecorator<JoinedExecutor>(decorator);
  });
}
