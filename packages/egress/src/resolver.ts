import { Resolver } from 'node:dns/promises';
import type { Resolution } from './dns.ts';

/** Most addresses of a name that a guest gets to know. */
const addressesMax = 1_000;

/** Resolves a name to IPv4 addresses. */
export type Resolve = (name: string) => Promise<Resolution>;

/** Returns a function that asks these name servers, each as `ADDRESS[:PORT]`; by default those of this machine. */
export function openResolver(servers: readonly string[] | null): Resolve {
  const resolver = new Resolver({ timeout: 3_000, tries: 2 });
  if (servers) resolver.setServers(servers);
  return async (name) => {
    try {
      const found = await resolver.resolve4(name, { ttl: true });
      const kept = found.slice(0, addressesMax);
      const ttlSeconds = Math.min(...kept.map(({ ttl }) => ttl), 3_600);
      return { code: 'ok', addresses: kept.map(({ address }) => address), ttlSeconds };
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENODATA') return { code: 'ok', addresses: [], ttlSeconds: 0 };
      return { code: code === 'ENOTFOUND' ? 'no_such_name' : 'failed' };
    }
  };
}
