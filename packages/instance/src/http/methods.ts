import type { FastifyInstance } from 'fastify';

/**
 * Records the routes below `/.executors` that are added from now on. The returned function returns the methods of a path; none for a
 * path without a route.
 */
export function recordMethods(app: FastifyInstance): (path: string) => string[] {
  const recorded: { readonly pattern: RegExp; readonly methods: string[] }[] = [];
  app.addHook('onRoute', ({ url, method }) => {
    if (url.startsWith('/.executors/')) recorded.push({ pattern: patternOf(url), methods: [method].flat() });
  });
  return (path) => [
    ...new Set(recorded.filter(({ pattern }) => pattern.test(path)).flatMap(({ methods }) => methods)),
  ];
}

/** Returns the pattern of a route's paths. A route has `:name`, `:name(^pattern$)` and `*`; a slash at the end is ignored. */
function patternOf(url: string): RegExp {
  const parts = url.split('/').map((part) => {
    if (part === '*') return '.*';
    if (!part.startsWith(':')) return part.replaceAll(/[.\\+*?^$()[\]{}|]/g, '\\$&');
    return /\(\^(.*)\$\)$/.exec(part)?.[1] ?? '[^/]+';
  });
  return new RegExp(`^${parts.join('/')}/?$`);
}
