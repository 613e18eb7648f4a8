import type { Scope } from '@fumehood/protocol';

/**
 * The scope that each route for people needs, by `METHOD url`. HEAD needs the scope of GET. A route that is not listed here
 * cannot be registered.
 */
const routeScopes: Readonly<Record<string, Scope>> = {
  'GET /api/status': 'jobs:read',
  'GET /api/jobs': 'jobs:read',
  'GET /api/jobs/:id': 'jobs:read',
  'GET /api/jobs/:id/why': 'jobs:read',
  'GET /api/jobs/:id/attempts': 'jobs:read',
  'GET /api/jobs/:id/events': 'jobs:read',
  'GET /api/shares': 'jobs:read',
  'POST /api/jobs': 'jobs:write',
  'POST /api/jobs/:id/cancel': 'jobs:write',
  'POST /api/jobs/:id/input': 'jobs:write',
  'GET /api/blobs/:digest': 'jobs:write',
  'PUT /api/blobs/:digest': 'jobs:write',
  'GET /api/uploads/:id': 'code:read',
  'GET /api/uploads/:id/definition': 'code:read',
  'GET /api/uploads/:id/example': 'code:read',
  'POST /api/repositories/*': 'code:write',
  'PUT /api/shares/:queue/:tenant': 'admin',
  'POST /api/executors/:name/drain': 'admin',
  'POST /api/executors/:name/resume': 'admin',
  'GET /api/access/tokens': 'tokens',
  'POST /api/access/tokens': 'tokens',
  'POST /api/access/tokens/:token/revoke': 'tokens',
  'GET /api/access/users': 'admin',
  'POST /api/access/users': 'admin',
  'GET /api/access/executor-credentials': 'admin',
  'POST /api/access/executor-credentials': 'admin',
  'POST /api/access/executor-credentials/:credential/rotate': 'admin',
  'POST /api/access/executor-credentials/:credential/revoke': 'admin',
};

/** Returns the scope that a route needs. Errors: `TypeError` for a route that is not in the table. */
export function scopeOf(method: string, url: string): Scope {
  const route = `${method === 'HEAD' ? 'GET' : method} ${url}`;
  const scope = routeScopes[route];
  if (!scope) throw new TypeError(`auth/scopes.ts has no scope for ${route}`);
  return scope;
}
