import * as z from 'zod';

/** Names of Docker Hub, whose images are named without it. */
const dockerHub = 'docker.io';
const dockerHubAliases = new Set([dockerHub, 'index.docker.io', 'registry-1.docker.io']);
/** Docker's clients look up the credential for Docker Hub under this name. */
const dockerHubKey = 'https://index.docker.io/v1/';

/** A registry's `host` or `host:port`. Its value is in lower case, and `docker.io` for each name of Docker Hub. */
export const registryHostSchema = z
  .string()
  .max(255)
  .toLowerCase()
  .regex(
    /^(?=[^/]*[.:]|localhost$)[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:\d{1,5})?$/,
    'must be host or host:port of a registry, such as `registry.example.com:5000`',
  )
  .overwrite((host) => (dockerHubAliases.has(host) ? dockerHub : host));

/**
 * Returns the registry of a reference to an image, as container engines find it: what precedes the first slash, if it has a dot or a
 * port or is `localhost`; otherwise Docker Hub.
 */
export function registryOf(reference: string): string {
  const [first = ''] = reference.split('/');
  const named = reference.includes('/') && (/[.:]/.test(first) || first === 'localhost');
  const host = named ? first.toLowerCase() : dockerHub;
  return dockerHubAliases.has(host) ? dockerHub : host;
}

/** Returns the name of a registry in `auths` of Docker's `config.json`. */
export function authKeyOf(host: string): string {
  return host === dockerHub ? dockerHubKey : host;
}

/** Returns the registry that an entry of `auths` is for, whatever form its name has. */
export function registryOfAuthKey(key: string): string {
  const host = key
    .replace(/^https?:\/\//, '')
    .replace(/\/.*$/, '')
    .toLowerCase();
  return dockerHubAliases.has(host) ? dockerHub : host;
}
