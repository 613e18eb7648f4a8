import type { CredentialRecord, Status, TokenRecord, UserRecord } from '@fumehood/protocol';
import { table } from '../jobs/lines.ts';

/** Times without what nobody reads: `2026-03-01 12:00`, in UTC. */
const when = (time: string | null, never: string) => time?.slice(0, 16).replace('T', ' ') ?? never;

export function userLines(users: readonly UserRecord[]): string[] {
  return table([
    ['NAME', 'ADMIN', 'MADE'],
    ...users.map(({ name, admin, createdAt }) => [name, admin ? 'yes' : 'no', when(createdAt, '')]),
  ]);
}

export function tokenLines(tokens: readonly TokenRecord[]): string[] {
  return table([
    ['ID', 'NAME', 'USER', 'SCOPES', 'USED', 'EXPIRES'],
    ...tokens.map(({ id, name, user, scopes, lastUsedAt, expiresAt }) => [
      ...[String(id), name, user, scopes.join(',')],
      ...[when(lastUsedAt, 'never'), when(expiresAt, 'never')],
    ]),
  ]);
}

/** A line for each good secret of a credential: the newest first, then those that a rotation replaced. */
export function credentialLines(credentials: readonly CredentialRecord[]): string[] {
  return table([
    ['ID', 'NAME', 'QUEUES', 'SECRET OF', 'USED', 'ENDS'],
    ...credentials.flatMap(({ id, name, queues, expiresAt, secrets }) =>
      secrets.map(({ createdAt, endsAt, lastUsedAt }) => [
        ...[String(id), name, queues.join(',') || 'none'],
        ...[when(createdAt, ''), when(lastUsedAt, 'never'), when(endsAt ?? expiresAt, 'never')],
      ]),
    ),
  ]);
}

export function executorLines(executors: Status['executors']): string[] {
  if (executors.length === 0) return ['no executor is connected'];
  return table([
    ['NAME', 'VERSION', 'ISOLATION', 'LEASES', 'SEEN'],
    ...executors.map(({ name, version, tiers, draining, lastSeenAt }) => [
      ...[name, version || 'unknown', tiers.join(',') || 'none', draining ? 'nothing more' : 'yes'],
      when(lastSeenAt, ''),
    ]),
  ]);
}
