import { accessNameSchema, createOrganisationSchema } from '@fumehood/protocol';
import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import * as z from 'zod';
import {
  addMember,
  createOrganisation,
  listOrganisations,
  removeMember,
  removeOrganisation,
} from '../../organisations/organisations.ts';
import type { RouteDeps } from '../deps.ts';
import { personOf, requirePerson } from '../person.ts';

const params = z.object({ organisation: accessNameSchema });
const memberParams = params.extend({ user: accessNameSchema });

/** `/api/organisations`: groups of users that share batch changes and secrets. */
export function organisationRoutes(scope: FastifyInstance, { db }: RouteDeps): void {
  const app = scope.withTypeProvider<ZodTypeProvider>();
  requirePerson(scope, db);
  const path = '/api/organisations';
  app.get(path, async (request) => ({ organisations: await listOrganisations(db, personOf(request)) }));
  app.post(path, { schema: { body: createOrganisationSchema } }, async (request, reply) =>
    reply.code(201).send(await createOrganisation(db, request.body.name)),
  );
  app.delete(`${path}/:organisation`, { schema: { params } }, async (request, reply) => {
    await removeOrganisation(db, request.params.organisation);
    return reply.code(204).send();
  });
  app.put(`${path}/:organisation/members/:user`, { schema: { params: memberParams } }, (request) =>
    addMember(db, personOf(request), request.params.organisation, request.params.user),
  );
  app.delete(`${path}/:organisation/members/:user`, { schema: { params: memberParams } }, (request) =>
    removeMember(db, personOf(request), request.params.organisation, request.params.user),
  );
}
