import { type MadeWebhook, setWebhookSchema, type Webhook } from '@fumehood/protocol';
import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { newSecret } from '../../auth/secret.ts';
import { readWebhook, removeWebhook, setWebhook } from '../../repos/webhooks.ts';
import type { RouteDeps } from '../deps.ts';
import { repositoryParam } from '../params.ts';
import { personOf, requirePerson } from '../person.ts';

/** `/api/webhooks`: the secrets with which code hosts sign that a repository has changed. */
export function webhookRoutes(scope: FastifyInstance, { db, vault, url }: RouteDeps): void {
  const app = scope.withTypeProvider<ZodTypeProvider>();
  requirePerson(scope, db);
  const withAddress = (webhook: Omit<Webhook, 'url' | 'path'>): Webhook => {
    const path = `/hooks/${webhook.repository}`;
    return { ...webhook, path, url: url === null ? null : `${url.replace(/\/+$/, '')}${path}` };
  };
  app.get('/api/webhooks/*', async (request) => withAddress(await readWebhook(db, repositoryParam(request))));
  app.put(
    '/api/webhooks/*',
    { schema: { body: setWebhookSchema } },
    async (request, reply): Promise<MadeWebhook> => {
      const { secret = newSecret() } = request.body;
      const setBy = personOf(request).name;
      const webhook = await setWebhook(db, vault, repositoryParam(request), { secret, setBy });
      void reply.header('cache-control', 'no-store');
      return { ...withAddress(webhook), secret: request.body.secret === undefined ? secret : null };
    },
  );
  app.delete('/api/webhooks/*', async (request, reply) => {
    await removeWebhook(db, repositoryParam(request));
    return reply.code(204).send();
  });
}
