import type { IncomingMessage } from 'node:http';

/** The path below which `http/api/raw.ts` answers. */
export const rawBase = '/.api/raw';

/**
 * Returns the URL of a request for the router. Upstream's clients read files at `/{repository}@{revision}/-/raw[/{path}]`, where a name has
 * slashes and begins the path: no route can be registered for that.
 */
export function routedUrl({ url = '/' }: Pick<IncomingMessage, 'url'>): string {
  const [path = ''] = url.split('?', 1);
  const isRaw = /\/-\/raw(\/|$)/.test(path) && !/^\/(\.?api|\.executors|hooks)\//.test(path);
  return isRaw ? `${rawBase}${url}` : url;
}
