import { readFile } from 'node:fs/promises';
import { credentialUnreadable } from '../errors.ts';
import type { Http, HttpRequest } from './http.ts';

/** The executor's credential, good for leases and heartbeats alone. */
export interface Credential {
  /** As it was last read. */
  readonly secret: string;
  /** Looks for another one than the instance refused; true when there is. */
  renew(refused: string): Promise<boolean>;
}

/**
 * The credential in a file, which is read again when the instance refuses it: a rotation needs no restart. Errors, also of
 * `renew`: `credential_unreadable`.
 */
export async function readCredential(file: string): Promise<Credential> {
  let secret = await readSecret(file);
  return {
    get secret() {
      return secret;
    },
    async renew(refused) {
      // Another request may have found it already.
      if (secret === refused) secret = await readSecret(file);
      return secret !== refused;
    },
  };
}

/**
 * A request under the executor's credential: sent again when the instance refuses it and another one is there by now. Errors:
 * those of `http`, and `credential_unreadable`.
 */
export async function askAsExecutor(
  http: Http,
  credential: Credential,
  request: Omit<HttpRequest, 'headers'>,
): Promise<Response> {
  const { secret } = credential;
  const headers = { authorization: `token-executor ${secret}`, 'content-type': 'application/json' };
  const response = await http({ ...request, headers });
  if (response.status !== 401 || !(await credential.renew(secret))) return response;
  await response.body?.cancel();
  return askAsExecutor(http, credential, request);
}

async function readSecret(file: string): Promise<string> {
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    throw credentialUnreadable(file, (error as Error).message);
  });
  const secret = text.trim();
  // It becomes a header's value.
  if (!/^[\x21-\x7e]{1,1000}$/.test(secret)) throw credentialUnreadable(file, 'it is not one line of text');
  return secret;
}
