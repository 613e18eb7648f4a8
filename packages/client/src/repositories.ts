import type { Readable } from 'node:stream';
import {
  type MadeWebhook,
  madeWebhookSchema,
  type PutHistory,
  type RepositoryRecord,
  repositoryRecordSchema,
  repositoryRecordsSchema,
  type SetRepository,
  type SetWebhook,
  type Webhook,
  webhookSchema,
} from '@fumehood/protocol';
import { encodePath, type Http, queryOf } from './http.ts';

/** Manages the repositories that the instance mirrors. No answer has a password. */
export interface RepositoriesClient {
  list(): Promise<RepositoryRecord[]>;
  /** Errors: `repository_not_found`, as of the methods below. */
  show(name: string): Promise<RepositoryRecord>;
  /** Mirrors a repository from now on, or changes where from. It is synced at once. Without a URL clients send its history. */
  set(name: string, repository: SetRepository): Promise<RepositoryRecord>;
  /** Has a repository synced at once. Resolves before the sync has ended. */
  sync(name: string): Promise<RepositoryRecord>;
  /**
   * Sends the history of a branch's tip to a repository without a URL, or with `base` what is new since that commit. Errors: `history_needed`,
   * `repository_mirrored`, `sync_running`, `repository_invalid`.
   */
  send(name: string, history: PutHistory, pack: Readable): Promise<RepositoryRecord>;
  remove(name: string): Promise<void>;
  /** Returns the webhook of a repository. Errors: `webhook_not_found`. */
  webhook(name: string): Promise<Webhook>;
  /** Gives the webhook of a repository a secret. Without one the instance makes it, and this answer alone has it. Errors: `repository_sent`. */
  setWebhook(name: string, webhook: SetWebhook): Promise<MadeWebhook>;
  /** Errors: `webhook_not_found`. */
  removeWebhook(name: string): Promise<void>;
}

/** Makes the part of a client for repositories. */
export function repositoriesClient(http: Http): RepositoriesClient {
  const pathOf = (name: string) => `/api/repositories/${encodePath(name)}`;
  const hookOf = (name: string) => `/api/webhooks/${encodePath(name)}`;
  return {
    list: async () =>
      (await http.ask(repositoryRecordsSchema, { method: 'GET', path: '/api/repositories' })).repositories,
    show: (name) => http.ask(repositoryRecordSchema, { method: 'GET', path: pathOf(name) }),
    set: (name, repository) =>
      http.ask(repositoryRecordSchema, { method: 'PUT', path: pathOf(name), json: repository }),
    sync: (name) =>
      http.ask(repositoryRecordSchema, { method: 'POST', path: '/api/syncs', json: { repository: name } }),
    send: (name, history, bytes) =>
      http.ask(repositoryRecordSchema, {
        ...{ method: 'PUT', bytes },
        path: `/api/histories/${encodePath(name)}?${queryOf(history)}`,
      }),
    webhook: (name) => http.ask(webhookSchema, { method: 'GET', path: hookOf(name) }),
    setWebhook: (name, webhook) =>
      http.ask(madeWebhookSchema, { method: 'PUT', path: hookOf(name), json: webhook }),
    async removeWebhook(name) {
      await (await http.send({ method: 'DELETE', path: hookOf(name) })).body?.cancel();
    },
    async remove(name) {
      await (await http.send({ method: 'DELETE', path: pathOf(name) })).body?.cancel();
    },
  };
}
