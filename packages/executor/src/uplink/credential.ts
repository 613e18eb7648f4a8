import { readFile } from 'node:fs/promises';
import type { Answer } from '@fumehood/base';
import { credentialUnreadable } from '../errors.ts';
import type { Http, HttpRequest } from './http.ts';

/** The executor's credential. It authorizes leases and heartbeats, not the routes of a job. */
export interface Credential {
  /** The secret as it was last read. */
  readonly secret: string;
  /** Reads the credential again after the instance refused `refused`. Resolves with true when there is another secret now. */
  renew(refused: string): Promise<boolean>;
}

/**
 * Reads the credential from a file. It is read again when the instance refuses it, so a rotation needs no restart. Errors, also
 * of `renew`: `credential_unreadable`.
 */
export async function readCredential(file: string): Promise<Credential> {
  let secret = await readSecret(file);
  return {
    get secret() {
      return secret;
    },
    async renew(refused) {
      // Another request may have read the new secret already.
      if (secret === refused) secret = await readSecret(file);
      return secret !== refused;
    },
  };
}

async function readSecret(file: string): Promise<string> {
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    throw credentialUnreadable(file, (error as Error).message);
  });
  const secret = text.trim();
  // The secret becomes the value of a header.
  if (!/^[\x21-\x7e]{1,1000}$/.test(secret))
    throw credentialUnreadable(file, 'it is not one line of printable ASCII without blanks');
  return secret;
}

/**
 * Returns a function that sends requests with the executor's credential. A request that is refused with 401 is sent again when
 * the credential was rotated. Errors: those of `Http` and of `renew`.
 */
export function withCredential(
  http: Http,
  credential: Credential,
): (request: Omit<HttpRequest, 'headers'>) => Promise<Answer> {
  const send = async (request: Omit<HttpRequest, 'headers'>): Promise<Answer> => {
    const { secret } = credential;
    const response = await http({
      ...request,
      headers: { authorization: `token-executor ${secret}`, 'content-type': 'application/json' },
    });
    if (response.status !== 401 || !(await credential.renew(secret))) return response;
    await response.body?.cancel();
    return send(request);
  };
  return send;
}
