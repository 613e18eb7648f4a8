import { secretsOf } from '@fumehood/egress';
import type { BrokerGrant, JobResultRequest } from '@fumehood/protocol';
import type { RegistryAuths } from '@fumehood/oci';
import type { AgentVm } from './vm-source.ts';

type Inspection = NonNullable<JobResultRequest['inspection']>;

/**
 * A job sees how often each password was found, and can fill its memory with guesses. So only passwords that cannot be guessed like
 * that are searched for: characters.
 */
const unguessable = 20;
/** Bytes of a password that are searched for, and the most passwords. */
const searchedBytesMax = 700;
const searchedMax = 20;

/** Returns the passwords of registries that a VM is searched for, and the form in which clients send them. */
export function registrySecrets(auths: RegistryAuths = {}): string[] {
  return Object.values(auths)
    .slice(0, searchedMax)
    .flatMap(({ auth }) => {
      const plain = Buffer.from(auth, 'base64').toString();
      const password = plain.slice(plain.indexOf(':') + 1);
      return password.length < unguessable ? [] : [password, auth];
    })
    .map((secret) => secret.slice(0, searchedBytesMax));
}

/** Returns the secrets of entries of the broker that a VM is searched for. */
export function brokerSecrets(grants: readonly BrokerGrant[]): string[] {
  return grants
    .flatMap(secretsOf)
    .filter((secret) => secret.length >= unguessable)
    .map((secret) => secret.slice(0, searchedBytesMax));
}

/**
 * Searches the memory and the scratch disk of a paused VM for credentials of this run. `control` is a value that the host has put
 * into the guest: if the search does not find it, its other results prove nothing.
 */
export async function searchVm(
  vm: AgentVm,
  credentials: readonly string[],
  control: string,
): Promise<Inspection> {
  const { searchedBytes, found } = await vm.search(
    [...credentials, control].map((text) => Buffer.from(text)),
  );
  const counts = found.slice(0, credentials.length);
  return {
    searchedBytes,
    credentials: credentials.length,
    found: counts.reduce((sum, count) => sum + count, 0),
    controlFound: (found[credentials.length] ?? 0) > 0,
  };
}
