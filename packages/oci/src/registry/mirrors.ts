import type { Registries } from './registries.ts';

type Registry = Registries[number];

/** The hosts (`host:port`) to which a program that fetched an image has connected. */
export type ConnectedHosts = ReadonlySet<string>;

/** Returns the setting for a repository: the one with the longest location that is a part of its name. */
export function registryFor(registries: Registries, repository: string): Registry | null {
  const name = `${fullName(repository)}/`;
  const matches = registries.filter(({ location }) => name.startsWith(`${location}/`));
  return matches.toSorted((one, other) => other.location.length - one.location.length)[0] ?? null;
}

/**
 * Says that an image came from its registry although the registry has mirrors, which are asked first; null if it did not. The proxy
 * knows it by the connections: a mirror that gives the image leaves none to the registry.
 */
export function mirrorsMissed(registry: Registry | null, connected: ConnectedHosts): string | null {
  if (!registry || registry.mirrors.length === 0) return null;
  const isConnected = (location: string) => hostsOf(location).some((host) => connected.has(host));
  const { location, mirrors } = registry;
  const mirrorHosts = mirrors.flatMap((mirror) => hostsOf(mirror.location));
  const isTold = hostsOf(location).every((host) => !mirrorHosts.includes(host));
  if (!isTold || !isConnected(location)) return null;
  const missed = mirrors.map((mirror) =>
    isConnected(mirror.location)
      ? `${mirror.location} does not give it`
      : `${mirror.location} cannot be reached`,
  );
  return `the image comes from ${location} itself: its mirror ${missed.join(', and ')}`;
}

/** Returns the name of a repository with its registry, which is Docker Hub if it names none. */
function fullName(repository: string): string {
  const [first = '', ...rest] = repository.split('/');
  if (rest.length > 0 && (/[.:]/.test(first) || first === 'localhost')) return repository;
  return rest.length > 0 ? `docker.io/${repository}` : `docker.io/library/${repository}`;
}

/** Returns `host:port` of a location; without a port both of those that a registry may have. */
function hostsOf(location: string): string[] {
  const host = (location.split('/')[0] as string).toLowerCase();
  return host.includes(':') ? [host] : [`${host}:443`, `${host}:80`];
}
