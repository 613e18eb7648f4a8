import { type CodeLocations, codeQuerySchema } from '@fumehood/protocol';
import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { notIndexed } from '../../codeintel/errors.ts';
import { definitionsAt } from '../../codeintel/read.ts';
import { uploadsCovering } from '../../codeintel/sql/uploads.ts';
import { commitOf } from '../../repos/commit-files.ts';
import type { RouteDeps } from '../deps.ts';
import { requirePerson } from '../person.ts';

/** `/api/code`: what the indexes of a repository say of a place in it. */
export function codeRoutes(scope: FastifyInstance, { db, mirrors }: RouteDeps): void {
  const app = scope.withTypeProvider<ZodTypeProvider>();
  requirePerson(scope, db);
  app.get(
    '/api/code/definition',
    { schema: { querystring: codeQuerySchema } },
    async (request): Promise<CodeLocations> => {
      const { repository, revision, ...at } = request.query;
      const commit = await commitOf({ db, mirrors }, repository, revision ?? null);
      const uploads = await uploadsCovering(db, { repository, commit, path: at.path });
      if (uploads.length === 0) throw notIndexed(repository, commit, at.path);
      const found = await Promise.all(
        uploads.map(async (upload) =>
          (await definitionsAt(db, upload, at)).map((location) => ({
            ...{ ...location, endLine: location.line, endCharacter: location.character },
            ...{ repository, commit, upload, package: null },
          })),
        ),
      );
      return {
        ...{ repository, commit, precision: 'exact', indexedCommit: commit },
        ...{ locations: found.flat(), next: null },
      };
    },
  );
}
