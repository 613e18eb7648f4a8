import { type SecretOwner, type SecretRecord, secretRecordSchema, secretsSchema } from '@fumehood/protocol';
import { type Http, queryOf } from './http.ts';

/**
 * Manages the secrets of the user, for the steps of this user's jobs, and those of organisations and of the whole instance, for batch
 * changes. No answer has a value. Each method may reject with `organisation_not_found`.
 */
export interface SecretsClient {
  list(owner?: SecretOwner): Promise<SecretRecord[]>;
  /** Stores a secret in place of an earlier one of this name. */
  set(name: string, value: string, owner?: SecretOwner): Promise<SecretRecord>;
  /** Errors: `secret_not_found`. */
  remove(name: string, owner?: SecretOwner): Promise<void>;
}

const root = '/api/secrets';

/** Makes the part of a client for secrets. */
export function secretsClient(http: Http): SecretsClient {
  const pathOf = (name: string, owner: SecretOwner = {}) => `${root}${name}?${queryOf(owner)}`;
  return {
    list: async (owner) =>
      (await http.ask(secretsSchema, { method: 'GET', path: pathOf('', owner) })).secrets,
    set: (name, value, owner) =>
      http.ask(secretRecordSchema, { method: 'PUT', path: pathOf(`/${name}`, owner), json: { value } }),
    async remove(name, owner) {
      await (await http.send({ method: 'DELETE', path: pathOf(`/${name}`, owner) })).body?.cancel();
    },
  };
}
