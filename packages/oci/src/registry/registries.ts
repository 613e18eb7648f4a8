import { isIP } from 'node:net';
import { z } from 'zod';

/** `host`, `host:port`, either with a path behind it. */
const locationSchema = z
  .string()
  .max(255)
  .regex(
    /^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:\d{1,5})?(\/[a-z0-9._-]+)*$/,
    'must be host, host:port or host:port/path',
  );
/** TLS with a certificate of anybody, or none at all. */
const insecureSchema = z.boolean().default(false);

/** What an operator says about registries. One that is not named is public, and spoken to by TLS alone. */
export const registriesSchema = z.array(
  z.strictObject({
    location: locationSchema,
    insecure: insecureSchema,
    /** Asked before it, in this order. */
    mirrors: z.array(z.strictObject({ location: locationSchema, insecure: insecureSchema })).default([]),
  }),
);
export type Registries = z.infer<typeof registriesSchema>;

/** Credentials as `dockerAuthConfig` and Docker's `config.json` have them: base64 of `user:password` by registry. */
export const registryAuthsSchema = z.record(z.string(), z.object({ auth: z.base64() }));
export type RegistryAuths = z.infer<typeof registryAuthsSchema>;

/** `registries.conf` of skopeo. */
export function registriesConf(registries: Registries): string {
  // The schema leaves nothing in a location that TOML would have quoted.
  const lines = ({ location, insecure }: { location: string; insecure: boolean }) =>
    `location = "${location}"\ninsecure = ${insecure}\n`;
  return registries
    .map(
      (registry) =>
        `[[registry]]\n${lines(registry)}${registry.mirrors.map((mirror) => `[[registry.mirror]]\n${lines(mirror)}`).join('')}`,
    )
    .join('');
}

/** `host:port` of everything named: these may be at addresses that are not public. Without a port both usual ones are meant. */
export function namedPlaces(registries: Registries): Set<string> {
  const hosts = registries
    .flatMap((registry) => [registry, ...registry.mirrors])
    .map(({ location }) => (location.split('/')[0] as string).toLowerCase());
  return new Set(hosts.flatMap((host) => (host.includes(':') ? [host] : [`${host}:443`, `${host}:80`])));
}

/** Those of the places that are on this machine: programs ask no proxy for them. */
export function loopbackPorts(places: Iterable<string>): number[] {
  const ports = [...places].map((place) => place.split(':') as [string, string]);
  return ports.flatMap(([host, port]) =>
    host === 'localhost' || (isIP(host) === 4 && host.startsWith('127.')) ? [Number(port)] : [],
  );
}
