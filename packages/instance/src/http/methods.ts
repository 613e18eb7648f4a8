import type { FastifyInstance } from 'fastify';

/**
 * Notes the routes under `/.executors` that are added from now on. The returned function says with which methods a path can be
 * asked; none: there is no such path.
 */
export function noteMethods(app: FastifyInstance): (path: string) => string[] {
  const noted: { readonly pattern: RegExp; readonly methods: string[] }[] = [];
  app.addHook('onRoute', ({ url, method }) => {
    if (url.startsWith('/.executors/')) noted.push({ pattern: patternOf(url), methods: [method].flat() });
  });
  return (path) => [
    ...new Set(noted.filter(({ pattern }) => pattern.test(path)).flatMap(({ methods }) => methods)),
  ];
}

/** A route as the router reads it: `:name`, `:name(^pattern$)`, `*`; a slash at the end counts for nothing. */
function patternOf(url: string): RegExp {
  const parts = url.split('/').map((part) => {
    if (part === '*') return '.*';
    if (!part.startsWith(':')) return part.replaceAll(/[.\\+*?^$()[\]{}|]/g, '\\$&');
    return /\(\^(.*)\$\)$/.exec(part)?.[1] ?? '[^/]+';
  });
  return new RegExp(`^${parts.join('/')}/?$`);
}
