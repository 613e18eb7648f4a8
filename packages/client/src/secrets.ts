import { type SecretRecord, secretRecordSchema, secretsSchema } from '@fumehood/protocol';
import type { Http } from './http.ts';

/** Manages the secrets of the user, for the steps of this user's jobs. No answer has a value. */
export interface SecretsClient {
  list(): Promise<SecretRecord[]>;
  /** Stores a secret in place of an earlier one of this name. */
  set(name: string, value: string): Promise<SecretRecord>;
  /** Errors: `secret_not_found`. */
  remove(name: string): Promise<void>;
}

const root = '/api/secrets';

/** Makes the part of a client for secrets. */
export function secretsClient(http: Http): SecretsClient {
  return {
    list: async () => (await http.ask(secretsSchema, { method: 'GET', path: root })).secrets,
    set: (name, value) =>
      http.ask(secretRecordSchema, { method: 'PUT', path: `${root}/${name}`, json: { value } }),
    async remove(name) {
      await (await http.send({ method: 'DELETE', path: `${root}/${name}` })).body?.cancel();
    },
  };
}
