import { isIP } from 'node:net';
import * as z from 'zod';

/** `host` or `host:port`, optionally followed by a path. */
const locationSchema = z
  .string()
  .max(255)
  .regex(
    /^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:\d{1,5})?(\/[a-z0-9._-]+)*$/,
    'must be host, host:port or host:port/path',
  );
/** True: TLS with an unverified certificate, or no TLS. */
const insecureSchema = z.boolean().default(false);

/** Registries in the operator's configuration. Any other registry must be public, and is reached over TLS only. */
export const registriesSchema = z.array(
  z.strictObject({
    location: locationSchema,
    insecure: insecureSchema,
    /** Asked before the registry itself, in this order. */
    mirrors: z.array(z.strictObject({ location: locationSchema, insecure: insecureSchema })).default([]),
  }),
);
export type Registries = z.infer<typeof registriesSchema>;

/** Credentials as in `dockerAuthConfig` and Docker's `config.json`: base64 of `user:password`, by registry. */
export const registryAuthsSchema = z.record(z.string(), z.object({ auth: z.base64() }));
export type RegistryAuths = z.infer<typeof registryAuthsSchema>;

/** Returns skopeo's `registries.conf`. */
export function registriesConf(registries: Registries): string {
  // The schema allows no character in a location that TOML would require to be quoted.
  const lines = ({ location, insecure }: { location: string; insecure: boolean }) =>
    `location = "${location}"\ninsecure = ${insecure}\n`;
  return registries
    .map(
      (registry) =>
        `[[registry]]\n${lines(registry)}${registry.mirrors.map((mirror) => `[[registry.mirror]]\n${lines(mirror)}`).join('')}`,
    )
    .join('');
}

/** Returns `host:port` of every configured registry and mirror: these may have addresses that are not public. Without a port: 443, 80. */
export function namedHosts(registries: Registries): Set<string> {
  const hosts = registries
    .flatMap((registry) => [registry, ...registry.mirrors])
    .map(({ location }) => (location.split('/')[0] as string).toLowerCase());
  return new Set(hosts.flatMap((host) => (host.includes(':') ? [host] : [`${host}:443`, `${host}:80`])));
}

/** Returns the ports of those hosts that are this machine: programs use no proxy for them. */
export function loopbackPorts(hosts: Iterable<string>): number[] {
  const pairs = [...hosts].map((host) => host.split(':') as [string, string]);
  return pairs.flatMap(([host, port]) =>
    host === 'localhost' || (isIP(host) === 4 && host.startsWith('127.')) ? [Number(port)] : [],
  );
}
