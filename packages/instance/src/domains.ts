import { codeintelRoutes } from './codeintel/people.ts';
import { uploadRoutes } from './codeintel/upload.ts';
import type { DomainDeps, Domains } from './instance.ts';
import { gitRoutes } from './repos/git.ts';
import { packRoutes } from './repos/people.ts';
import { openCommits } from './repos/store.ts';

/** The domains beside the queue: repositories, and code intelligence. */
export async function domains(deps: DomainDeps): Promise<Domains> {
  const commits = await openCommits(deps.directories.repositories, deps.spawn);
  return {
    hasCommit: async (repository, commit) => commits.find(repository, commit) !== null,
    async plugin(app) {
      // A scope each: how they read bodies is their own.
      await app.register(async (scope) => packRoutes(scope, deps, commits));
      await app.register(async (scope) => gitRoutes(scope, deps, commits));
      await app.register(async (scope) => uploadRoutes(scope, deps));
      await app.register(async (scope) => codeintelRoutes(scope, deps));
    },
  };
}
