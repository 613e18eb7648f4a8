import {
  organisationPrefix,
  type SecretRecord,
  secretNameSchema,
  secretOwnerQuerySchema,
  setSecretSchema,
} from '@fumehood/protocol';
import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import * as z from 'zod';
import { type Person, requireScope } from '../../auth/people.ts';
import { requireOrganisation } from '../../organisations/organisations.ts';
import { globalTenant, listSecrets, removeSecret, setSecret } from '../../secrets/secrets.ts';
import type { RouteDeps } from '../deps.ts';
import { personOf, requirePerson } from '../person.ts';

const params = z.object({ name: secretNameSchema });
const querystring = secretOwnerQuerySchema;
type Owner = z.output<typeof secretOwnerQuerySchema>;

/**
 * `/api/secrets`: the secrets of the user who asks, for the steps of this user's jobs, and those that batch changes may have of an
 * organisation and of the whole instance. No answer has a value.
 */
export function secretRoutes(scope: FastifyInstance, { db, vault }: RouteDeps): void {
  const app = scope.withTypeProvider<ZodTypeProvider>();
  requirePerson(scope, db);

  /** Errors: `organisation_not_found`. */
  const tenantOf = async (person: Person, { organisation, global }: Owner): Promise<string> => {
    if (global === 'true') return globalTenant;
    if (organisation === undefined) return person.name;
    const { name } = await requireOrganisation(db, person, organisation);
    return `${organisationPrefix}${name}`;
  };
  /** Errors: `organisation_not_found`, `scope_missing`. */
  const writableTenantOf = async (person: Person, owner: Owner): Promise<string> => {
    if (owner.global === 'true') requireScope(person, 'admin');
    return await tenantOf(person, owner);
  };

  app.get(
    '/api/secrets',
    { schema: { querystring } },
    async (request): Promise<{ secrets: SecretRecord[] }> => ({
      secrets: await listSecrets(db, await tenantOf(personOf(request), request.query)),
    }),
  );
  app.put(
    '/api/secrets/:name',
    { schema: { params, querystring, body: setSecretSchema } },
    async (request) => {
      const tenant = await writableTenantOf(personOf(request), request.query);
      return await setSecret(db, vault, { tenant, name: request.params.name, value: request.body.value });
    },
  );
  app.delete('/api/secrets/:name', { schema: { params, querystring } }, async (request, reply) => {
    const tenant = await writableTenantOf(personOf(request), request.query);
    await removeSecret(db, tenant, request.params.name);
    return reply.code(204).send();
  });
}
