import type { FastifyInstance } from 'fastify';
import { acceptDelivery } from '../../repos/deliveries.ts';
import { type Delivery, isSigned, offMax, readDelivery, secondsOff } from '../../repos/delivery.ts';
import { deliveryRefused, deliveryStale } from '../../repos/errors.ts';
import { webhookSecrets } from '../../repos/webhooks.ts';
import { bytesOf, readBytes } from '../body.ts';
import type { RouteDeps } from '../deps.ts';
import { goneSignal } from '../gone.ts';
import { bodyLimits } from '../limits.ts';
import { repositoryParam } from '../params.ts';
import { prove } from '../receive.ts';

const decorator = 'delivery';

/**
 * `POST /hooks/{name}`: a code host says that a repository has changed. Its signature is over the body, which is therefore read first: the
 * bodies of all deliveries have one share of memory together. Before that, nothing in a body is read, and after it only which changesets it is
 * about. Errors:
 * `delivery_refused`, `delivery_stale`, `delivery_repeated`, `too_many_at_once`, `instance_busy`.
 */
export function deliveryRoutes(scope: FastifyInstance, { db, vault, clock, turns }: RouteDeps): void {
  readBytes(scope, bodyLimits.delivery);
  scope.decorateRequest(decorator);
  const secretsOf = webhookSecrets(db, vault);
  scope.addHook('onRequest', async (request) => {
    const delivery = readDelivery(request.headers);
    if (!delivery) throw deliveryRefused();
    request.setDecorator<Delivery>(decorator, delivery);
    prove(request, 'the senders of deliveries'); // nobody yet: all of them count as one
  });
  scope.post('/hooks/*', async (request, reply) => {
    const delivery = request.getDecorator<Delivery>(decorator);
    const [repository, body] = [repositoryParam(request), bytesOf(request)];
    using _turn = await turns.delivery.take(repository, goneSignal(reply));
    const secrets = await secretsOf(repository, request.log);
    // Each is compared, so that the time says nothing about which one was right.
    if (!secrets.map((secret) => isSigned(delivery, body, secret)).includes(true)) throw deliveryRefused();
    const off = secondsOff(delivery, clock.now());
    if (off > offMax) throw deliveryStale(off, offMax);
    const result = await acceptDelivery(db, repository, delivery, body);
    return reply.code(result === 'ignored' ? 200 : 202).send({ result });
  });
}
