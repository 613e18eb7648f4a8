import { Resolver } from 'node:dns/promises';
import { readFileSync } from 'node:fs';
import type { Resolution } from './dns.ts';

/** Most addresses of a name that a guest gets to know. */
const addressesMax = 1_000;

/** Resolves a name to addresses: of IPv4, or of IPv6 where there are no others or this machine reaches no others. */
export type Resolve = (name: string) => Promise<Resolution>;

/** Returns a function that asks these name servers, each as `ADDRESS[:PORT]`; by default those of this machine. `prefersSix`: addresses of IPv6 are asked for first. */
export function openResolver(servers: readonly string[] | null, prefersSix: boolean): Resolve {
  const resolver = new Resolver({ timeout: 3_000, tries: 2 });
  if (servers) resolver.setServers(servers);
  const ask = async (name: string, family: 4 | 6): Promise<Resolution> => {
    try {
      const found = await (family === 4
        ? resolver.resolve4(name, { ttl: true })
        : resolver.resolve6(name, { ttl: true }));
      const kept = found.slice(0, addressesMax);
      const ttlSeconds = Math.min(...kept.map(({ ttl }) => ttl), 3_600);
      return { code: 'ok', addresses: kept.map(({ address }) => address), ttlSeconds };
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENODATA') return { code: 'ok', addresses: [], ttlSeconds: 0 };
      return { code: code === 'ENOTFOUND' ? 'no_such_name' : 'failed' };
    }
  };
  return async (name) => {
    const [first, second] = prefersSix ? ([6, 4] as const) : ([4, 6] as const);
    const found = await ask(name, first);
    return found.code === 'ok' && found.addresses.length === 0 ? ask(name, second) : found;
  };
}

/** Returns whether this machine has a way to the world over IPv6 alone. Others, and machines that do not say, take IPv4. */
export function reachesSixAlone(): boolean {
  try {
    const four = readFileSync('/proc/net/route', 'latin1').split('\n');
    const six = readFileSync('/proc/net/ipv6_route', 'latin1').split('\n');
    const hasFour = four.some((line) => /^\S+\t0{8}\t(\S+\t){5}0{8}\t/.test(line));
    // The kernel has one to nowhere, on loopback.
    return !hasFour && six.some((line) => /^0{32} 00 /.test(line) && !line.trimEnd().endsWith(' lo'));
  } catch {
    return false;
  }
}
