import {
  type CreateCredential,
  type CreateToken,
  type CreateUser,
  type CredentialRecord,
  credentialsSchema,
  type MadeCredential,
  type MadeToken,
  madeCredentialSchema,
  madeTokenSchema,
  type TokenRecord,
  tokensSchema,
  type UserRecord,
  userRecordSchema,
  usersSchema,
} from '@fumehood/protocol';
import type { Http } from './http.ts';

/** Users, access tokens, and the credentials of executors. A secret is in the answer that made it, and in no other. */
export interface AccessClient {
  users(): Promise<UserRecord[]>;
  createUser(user: CreateUser): Promise<UserRecord>;
  /** The user's own; everybody's for an admin. */
  tokens(): Promise<TokenRecord[]>;
  createToken(token: CreateToken): Promise<MadeToken>;
  revokeToken(id: number): Promise<void>;
  credentials(): Promise<CredentialRecord[]>;
  createCredential(credential: CreateCredential): Promise<MadeCredential>;
  /** Makes another secret; those from before are good for `overlapMs` more at most. */
  rotateCredential(id: number, overlapMs: number): Promise<MadeCredential>;
  revokeCredential(id: number): Promise<void>;
  /** Ends the secrets that a rotation replaced. */
  endRotation(id: number): Promise<void>;
}

const root = '/api/access';
const credentialsPath = `${root}/executor-credentials`;

export function accessClient(http: Http): AccessClient {
  const post = (path: string, json: unknown) => ({ method: 'POST' as const, path, json });
  const revoke = async (path: string) => {
    await http.send({ method: 'POST', path });
  };
  return {
    users: async () => (await http.ask(usersSchema, { method: 'GET', path: `${root}/users` })).users,
    createUser: (user) => http.ask(userRecordSchema, post(`${root}/users`, user)),
    tokens: async () => (await http.ask(tokensSchema, { method: 'GET', path: `${root}/tokens` })).tokens,
    createToken: (token) => http.ask(madeTokenSchema, post(`${root}/tokens`, token)),
    revokeToken: (id) => revoke(`${root}/tokens/${id}/revoke`),
    credentials: async () =>
      (await http.ask(credentialsSchema, { method: 'GET', path: credentialsPath })).credentials,
    createCredential: (credential) => http.ask(madeCredentialSchema, post(credentialsPath, credential)),
    rotateCredential: (id, overlapMs) =>
      http.ask(madeCredentialSchema, post(`${credentialsPath}/${id}/rotate`, { overlapMs })),
    revokeCredential: (id) => revoke(`${credentialsPath}/${id}/revoke`),
    endRotation: (id) => revoke(`${credentialsPath}/${id}/revoke?replaced=true`),
  };
}
