import {
  type RegistryCredential,
  registryCredentialSchema,
  registryCredentialsSchema,
  type SetRegistryCredential,
} from '@fumehood/protocol';
import type { Http } from './http.ts';

/** Manages the credentials for registries that executors get with jobs. No answer has a password. */
export interface RegistriesClient {
  list(): Promise<RegistryCredential[]>;
  /** Stores the credential for a registry (`host` or `host:port`), in place of an earlier one. */
  set(host: string, credential: SetRegistryCredential): Promise<RegistryCredential>;
  /** Errors: `registry_not_found`. */
  remove(host: string): Promise<void>;
}

const root = '/api/registries';

/** Makes the part of a client for registries. */
export function registriesClient(http: Http): RegistriesClient {
  const pathOf = (host: string) => `${root}/${encodeURIComponent(host)}`;
  return {
    list: async () => (await http.ask(registryCredentialsSchema, { method: 'GET', path: root })).registries,
    set: (host, credential) =>
      http.ask(registryCredentialSchema, { method: 'PUT', path: pathOf(host), json: credential }),
    async remove(host) {
      await (await http.send({ method: 'DELETE', path: pathOf(host) })).body?.cancel();
    },
  };
}
