import {
  type CreateCredential,
  type CreateJoinToken,
  type CreateToken,
  type CreateUser,
  type CredentialRecord,
  credentialsSchema,
  type JoinToken,
  joinTokenSchema,
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

/** Manages users, access tokens and executor credentials. A secret is only in the answer to the request that created it. */
export interface AccessClient {
  users(): Promise<UserRecord[]>;
  createUser(user: CreateUser): Promise<UserRecord>;
  /** Returns the tokens of the user; for an admin, those of all users. */
  tokens(): Promise<TokenRecord[]>;
  createToken(token: CreateToken): Promise<MadeToken>;
  revokeToken(id: number): Promise<void>;
  /** Makes a token by which one executor joins, once, within an hour. */
  createJoinToken(executor: CreateJoinToken): Promise<JoinToken>;
  credentials(): Promise<CredentialRecord[]>;
  createCredential(credential: CreateCredential): Promise<MadeCredential>;
  /** Creates a new secret. Older ones stay valid for at most `overlapMs`. */
  rotateCredential(id: number, overlapMs: number): Promise<MadeCredential>;
  revokeCredential(id: number): Promise<void>;
  /** Revokes the secrets that a rotation replaced. */
  endRotation(id: number): Promise<void>;
}

const root = '/api/access';
const credentialsPath = `${root}/executor-credentials`;

/** Makes the access part of a client. */
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
    createJoinToken: (executor) => http.ask(joinTokenSchema, post(`${root}/join-tokens`, executor)),
    credentials: async () =>
      (await http.ask(credentialsSchema, { method: 'GET', path: credentialsPath })).credentials,
    createCredential: (credential) => http.ask(madeCredentialSchema, post(credentialsPath, credential)),
    rotateCredential: (id, overlapMs) =>
      http.ask(madeCredentialSchema, post(`${credentialsPath}/${id}/rotate`, { overlapMs })),
    revokeCredential: (id) => revoke(`${credentialsPath}/${id}/revoke`),
    endRotation: (id) => revoke(`${credentialsPath}/${id}/revoke?replaced=true`),
  };
}
