import type { Scope } from '@fumehood/protocol';

/**
 * Whose things a route acts on.
 *
 * - `own job`: the one job in its path, of the user's own tenant. For everybody else but an admin, the job does not exist.
 * - `own jobs`: the jobs of the user's own tenant; for an admin, of every tenant.
 * - `own secrets`: the secrets of the user's own tenant, also for an admin; those of an organisation for its members and admins. Those of the
 *   whole instance are listed by all and changed by admins.
 * - `own organisations`: those that the user is a member of; for an admin, all.
 * - `own tokens`: the user's own access tokens; for an admin, everybody's.
 * - `own batch changes`: those of the user's own namespace and of the organisations that the user is a member of; for an admin, all.
 * - `instance`: things that all users of the scope share. The output of jobs is not among them.
 */
export type Reach =
  | 'own job'
  | 'own jobs'
  | 'own secrets'
  | 'own organisations'
  | 'own batch changes'
  | 'own tokens'
  | 'instance';

/** What a route for people needs, and whose things it acts on. */
export interface RouteAccess {
  readonly scope: Scope;
  readonly reach: Reach;
}

const access = (scope: Scope, reach: Reach): RouteAccess => ({ scope, reach });

/** The access of each route for people, by `METHOD url`. HEAD has that of GET. A route that is not listed here cannot be registered. */
export const routeAccess: Readonly<Record<string, RouteAccess>> = {
  'GET /api/status': access('jobs:read', 'instance'),
  'GET /api/jobs': access('jobs:read', 'own jobs'),
  'GET /api/jobs/:id': access('jobs:read', 'own job'),
  'GET /api/jobs/:id/why': access('jobs:read', 'own job'),
  'GET /api/jobs/:id/attempts': access('jobs:read', 'own job'),
  'GET /api/jobs/:id/events': access('jobs:read', 'own job'),
  'GET /api/jobs/:id/logs': access('jobs:read', 'own job'),
  'GET /api/jobs/:id/artifacts': access('jobs:read', 'own job'),
  'GET /api/jobs/:id/artifacts/*': access('jobs:read', 'own job'),
  'GET /api/jobs/:id/network': access('jobs:read', 'own job'),
  'GET /api/shares': access('jobs:read', 'instance'),
  'POST /api/jobs': access('jobs:write', 'own jobs'),
  'DELETE /api/jobs/:id': access('jobs:write', 'own job'),
  'POST /api/jobs/:id/cancel': access('jobs:write', 'own job'),
  'POST /api/jobs/:id/input': access('jobs:write', 'own job'),
  'GET /api/blobs/:digest': access('jobs:write', 'instance'),
  'PUT /api/blobs/:digest': access('jobs:write', 'instance'),
  'GET /.api/scip/upload': access('code:write', 'instance'),
  'POST /.api/scip/upload': access('code:write', 'instance'),
  'GET /.api/lsif/upload': access('code:write', 'instance'),
  'POST /.api/lsif/upload': access('code:write', 'instance'),
  'GET /api/uploads/:id': access('code:read', 'instance'),
  'GET /api/uploads/:id/definition': access('code:read', 'instance'),
  'GET /api/uploads/:id/example': access('code:read', 'instance'),
  'POST /api/repositories/*': access('code:write', 'instance'),
  'POST /api/indexings': access('code:write', 'own jobs'),
  'GET /api/indexings': access('code:read', 'instance'),
  'GET /api/index-policies': access('code:read', 'instance'),
  'PUT /api/index-policies/:name': access('admin', 'instance'),
  'DELETE /api/index-policies/:name': access('admin', 'instance'),
  'GET /api/index-configs/*': access('code:read', 'instance'),
  'PUT /api/index-configs/*': access('admin', 'instance'),
  'DELETE /api/index-configs/*': access('admin', 'instance'),
  'GET /api/index-settings/*': access('code:read', 'instance'),
  'PUT /api/index-settings/*': access('admin', 'instance'),
  'DELETE /api/index-settings/*': access('admin', 'instance'),
  'GET /api/dependencies': access('code:read', 'instance'),
  'PUT /api/dependency-indexing': access('admin', 'instance'),
  'DELETE /api/dependency-indexing': access('admin', 'instance'),
  'GET /api/indexers': access('code:read', 'instance'),
  'PUT /api/indexers/:language': access('admin', 'instance'),
  'DELETE /api/indexers/:language': access('admin', 'instance'),
  'GET /api/code/definition': access('code:read', 'instance'),
  'GET /api/code/references': access('code:read', 'instance'),
  'GET /api/code/implementations': access('code:read', 'instance'),
  'GET /api/code/callers': access('code:read', 'instance'),
  'GET /api/code/hover': access('code:read', 'instance'),
  'GET /api/code/symbols': access('code:read', 'instance'),
  'POST /.api/files/batch-changes/:spec': access('code:write', 'instance'),
  'POST /.api/graphql': access('code:read', 'instance'),
  'GET /.api/raw/*': access('code:read', 'instance'),
  'GET /api/repositories': access('code:read', 'instance'),
  'GET /api/repositories/*': access('code:read', 'instance'),
  'PUT /api/repositories/*': access('admin', 'instance'),
  'DELETE /api/repositories/*': access('admin', 'instance'),
  'PUT /api/histories/*': access('code:write', 'instance'),
  'GET /api/webhooks/*': access('code:read', 'instance'),
  'PUT /api/webhooks/*': access('admin', 'instance'),
  'DELETE /api/webhooks/*': access('admin', 'instance'),
  'POST /api/syncs': access('code:write', 'instance'),
  'PUT /api/shares/:queue/:tenant': access('admin', 'instance'),
  'POST /api/executors/:name/drain': access('admin', 'instance'),
  'POST /api/executors/:name/resume': access('admin', 'instance'),
  'GET /api/secrets': access('jobs:read', 'own secrets'),
  'PUT /api/secrets/:name': access('jobs:write', 'own secrets'),
  'DELETE /api/secrets/:name': access('jobs:write', 'own secrets'),
  'GET /api/batch-spec-schema': access('code:read', 'instance'),
  'POST /api/batch-specs': access('code:write', 'own batch changes'),
  'GET /api/batch-specs/:spec': access('code:read', 'own batch changes'),
  'DELETE /api/batch-specs/:spec': access('code:write', 'own batch changes'),
  'GET /api/batch-specs/:spec/events': access('code:read', 'own batch changes'),
  'GET /api/batch-specs/:spec/workspaces': access('code:read', 'own batch changes'),
  'GET /api/batch-specs/:spec/workspaces/:workspace': access('code:read', 'own batch changes'),
  'PUT /api/batch-specs/:spec/files/*': access('code:write', 'own batch changes'),
  'GET /api/batch-specs/:spec/preview': access('code:read', 'own batch changes'),
  'POST /api/batch-specs/:spec/apply': access('code:write', 'own batch changes'),
  'GET /api/batch-changes': access('code:read', 'own batch changes'),
  'GET /api/batch-changes/:batchChange': access('code:read', 'own batch changes'),
  'DELETE /api/batch-changes/:batchChange': access('code:write', 'own batch changes'),
  'POST /api/batch-changes/:batchChange/move': access('code:write', 'own batch changes'),
  'GET /api/batch-changes/:batchChange/changesets': access('code:read', 'own batch changes'),
  'POST /api/batch-changes/:batchChange/close': access('code:write', 'own batch changes'),
  'POST /api/batch-changes/:batchChange/publish': access('code:write', 'own batch changes'),
  'POST /api/batch-changes/:batchChange/merge': access('code:write', 'own batch changes'),
  'POST /api/batch-changes/:batchChange/comment': access('code:write', 'own batch changes'),
  'POST /api/batch-changes/:batchChange/close-changesets': access('code:write', 'own batch changes'),
  'POST /api/batch-changes/:batchChange/archive': access('code:write', 'own batch changes'),
  'POST /api/batch-changes/:batchChange/detach': access('code:write', 'own batch changes'),
  'POST /api/batch-changes/:batchChange/reenqueue': access('code:write', 'own batch changes'),
  'POST /api/batch-changes/:batchChange/resume': access('code:write', 'own batch changes'),
  'POST /api/batch-specs/:spec/execute': access('code:write', 'own batch changes'),
  'POST /api/batch-specs/:spec/cancel': access('code:write', 'own batch changes'),
  'POST /api/batch-specs/:spec/retry': access('code:write', 'own batch changes'),
  'GET /api/batch-settings': access('code:read', 'instance'),
  'PUT /api/batch-settings': access('admin', 'instance'),
  'DELETE /api/batch-settings': access('admin', 'instance'),
  'GET /api/batch-rollout': access('code:read', 'instance'),
  'PUT /api/batch-rollout': access('admin', 'instance'),
  'DELETE /api/batch-rollout': access('admin', 'instance'),
  'GET /api/organisations': access('code:read', 'own organisations'),
  'POST /api/organisations': access('admin', 'instance'),
  'DELETE /api/organisations/:organisation': access('admin', 'instance'),
  'PUT /api/organisations/:organisation/members/:user': access('admin', 'instance'),
  'DELETE /api/organisations/:organisation/members/:user': access('admin', 'instance'),
  'GET /api/code-hosts': access('admin', 'instance'),
  'PUT /api/code-hosts/:name': access('admin', 'instance'),
  'DELETE /api/code-hosts/:name': access('admin', 'instance'),
  'GET /api/broker': access('admin', 'instance'),
  'PUT /api/broker/:name': access('admin', 'instance'),
  'DELETE /api/broker/:name': access('admin', 'instance'),
  'GET /api/network/ceilings': access('admin', 'instance'),
  'PUT /api/network/ceilings': access('admin', 'instance'),
  'DELETE /api/network/ceilings': access('admin', 'instance'),
  'GET /api/registries': access('admin', 'instance'),
  'PUT /api/registries/:host': access('admin', 'instance'),
  'DELETE /api/registries/:host': access('admin', 'instance'),
  'GET /api/access/tokens': access('tokens', 'own tokens'),
  'POST /api/access/tokens': access('tokens', 'own tokens'),
  'POST /api/access/tokens/:token/revoke': access('tokens', 'own tokens'),
  'GET /api/access/users': access('admin', 'instance'),
  'POST /api/access/users': access('admin', 'instance'),
  'POST /api/access/join-tokens': access('admin', 'instance'),
  'GET /api/access/executor-credentials': access('admin', 'instance'),
  'POST /api/access/executor-credentials': access('admin', 'instance'),
  'POST /api/access/executor-credentials/:credential/rotate': access('admin', 'instance'),
  'POST /api/access/executor-credentials/:credential/revoke': access('admin', 'instance'),
};

/**
 * Returns the access of a route. Throws a `TypeError` for a route that is not in the table, and for one that names a job in its path
 * and says that it acts on something else.
 */
export function accessOf(method: string, url: string): RouteAccess {
  const route = `${method === 'HEAD' ? 'GET' : method} ${url}`;
  const found = routeAccess[route];
  if (!found) throw new TypeError(`auth/scopes.ts does not list ${route}`);
  if (/\/jobs\/:/.test(url) !== (found.reach === 'own job'))
    throw new TypeError(
      `auth/scopes.ts must say that ${route} acts on "own job" if it names one, and only then`,
    );
  return found;
}
