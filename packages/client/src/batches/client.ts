import type { Readable } from 'node:stream';
import {
  type ApplyBatchSpec,
  type BatchChangeRecord,
  type BatchEvent,
  type BatchFile,
  type BatchSettings,
  type BatchSpecRecord,
  batchChangeRecordSchema,
  batchChangesSchema,
  batchFileSchema,
  batchSettingsSchema,
  batchSpecRecordSchema,
  type CancelBatchSpec,
  type ChangesetRecord,
  type CommentChangesets,
  type CreateBatchSpec,
  changesetsSchema,
  type ListBatchChanges,
  type MergeChangesets,
  type MoveBatchChange,
  type Preview,
  type PublishChangesets,
  previewSchema,
  type RetryBatchSpec,
  type Rollout,
  rolloutSchema,
  type SetBatchSettings,
  type SetRollout,
  type WorkspaceDetail,
  type WorkspacePage,
  workspaceDetailSchema,
  workspacePageSchema,
} from '@fumehood/protocol';
import { encodePath, type Http, queryOf } from '../http.ts';
import { batchEvents } from './events.ts';

/** What can be done with changesets of a batch change without saying more. */
export type ChangesetAction = 'archive' | 'close-changesets' | 'detach' | 'reenqueue';

/**
 * Changes many repositories: a batch spec is executed in workspaces, previewed, and applied to a batch change, whose changesets the
 * instance pushes and opens. Whatever a user may not see does not exist: `batch_spec_not_found`, `batch_change_not_found`.
 */
export interface BatchesClient {
  /** Errors: `batch_spec_invalid` with what is wrong and where, `namespace_not_found`. */
  createSpec(spec: CreateBatchSpec): Promise<BatchSpecRecord>;
  /** Sends a file that steps mount. `path` is relative to the directory of the batch spec. */
  putFile(
    spec: string,
    file: { readonly path: string; readonly bytes: number; readonly modifiedAt: Date },
    content: Readable,
  ): Promise<BatchFile>;
  spec(id: string): Promise<BatchSpecRecord>;
  /** Yields what changes of a batch spec and its workspaces until it has ended; all workspaces come first. */
  events(spec: string, signal?: AbortSignal): AsyncGenerator<BatchEvent>;
  /** Returns a page of the workspaces of a batch spec; `after` is `next` of the page before. */
  workspaces(spec: string, after?: number | null): Promise<WorkspacePage>;
  /** Errors: `workspace_not_found`. */
  workspace(spec: string, workspace: string): Promise<WorkspaceDetail>;
  execute(spec: string, options?: { readonly noCache?: boolean }): Promise<BatchSpecRecord>;
  cancel(spec: string, options?: CancelBatchSpec): Promise<BatchSpecRecord>;
  retry(spec: string, options?: RetryBatchSpec): Promise<BatchSpecRecord>;
  /** Errors: `batch_spec_running`, `batch_spec_applied`. */
  deleteSpec(spec: string): Promise<void>;
  /** Returns what would happen if the batch spec were applied. Errors: `batch_spec_not_executed`. */
  preview(spec: string): Promise<Preview>;
  /** Errors: as `preview`. */
  apply(spec: string, options?: ApplyBatchSpec): Promise<BatchChangeRecord>;
  /** Returns batch changes, newest first. */
  list(filter?: ListBatchChanges): Promise<BatchChangeRecord[]>;
  batchChange(id: string): Promise<BatchChangeRecord>;
  changesets(batchChange: string): Promise<ChangesetRecord[]>;
  close(batchChange: string, options: { readonly closeChangesets: boolean }): Promise<BatchChangeRecord>;
  /** Gives a batch change another name or namespace. Errors: `batch_change_name_taken`, `namespace_not_found`. */
  move(batchChange: string, place: MoveBatchChange): Promise<BatchChangeRecord>;
  /** Its changesets stay on their code hosts. Errors: `batch_change_busy`. */
  deleteBatchChange(batchChange: string): Promise<void>;
  publish(batchChange: string, request: PublishChangesets): Promise<BatchChangeRecord>;
  /** Errors: `changeset_host_missing`, `changeset_not_open`. */
  merge(batchChange: string, request: MergeChangesets): Promise<BatchChangeRecord>;
  /** Errors: `changeset_host_missing`. */
  comment(batchChange: string, request: CommentChangesets): Promise<BatchChangeRecord>;
  change(
    batchChange: string,
    action: ChangesetAction,
    changesets: readonly string[],
  ): Promise<BatchChangeRecord>;
  /** Lets waves go on that have stopped. */
  resume(batchChange: string): Promise<BatchChangeRecord>;
  settings(): Promise<BatchSettings>;
  setSettings(settings: SetBatchSettings): Promise<BatchSettings>;
  removeSettings(): Promise<void>;
  /** Errors: `rollout_not_found`. */
  rollout(): Promise<Rollout>;
  setRollout(rollout: SetRollout): Promise<Rollout>;
  /** Errors: `rollout_not_found`. */
  removeRollout(): Promise<void>;
}

const specs = '/api/batch-specs';
const batchChanges = '/api/batch-changes';
const settingsPath = '/api/batch-settings';
const rolloutPath = '/api/batch-rollout';

/** Makes the part of a client for batch changes. */
export function batchesClient(http: Http): BatchesClient {
  const get = { method: 'GET' } as const;
  const specAfter = (spec: string, action: string, json: object) =>
    http.ask(batchSpecRecordSchema, { method: 'POST', path: `${specs}/${spec}/${action}`, json });
  const batchChangeAfter = (path: string, json: object) =>
    http.ask(batchChangeRecordSchema, { method: 'POST', path, json });
  const remove = async (path: string) => {
    await (await http.send({ method: 'DELETE', path })).body?.cancel();
  };
  return {
    createSpec: (json) => http.ask(batchSpecRecordSchema, { method: 'POST', path: specs, json }),
    putFile: (spec, { path, bytes, modifiedAt }, content) =>
      http.ask(batchFileSchema, {
        method: 'PUT',
        path: `${specs}/${spec}/files/${encodePath(path)}?${queryOf({ modifiedAt: modifiedAt.toISOString() })}`,
        bytes: content,
        headers: { 'content-length': String(bytes) },
      }),
    spec: (id) => http.ask(batchSpecRecordSchema, { ...get, path: `${specs}/${id}` }),
    events: (spec, signal) => batchEvents(http, spec, signal),
    workspaces: (spec, after) =>
      http.ask(workspacePageSchema, {
        ...get,
        path: `${specs}/${spec}/workspaces?${queryOf({ after: after ?? undefined })}`,
      }),
    workspace: (spec, workspace) =>
      http.ask(workspaceDetailSchema, { ...get, path: `${specs}/${spec}/workspaces/${workspace}` }),
    execute: (spec, options = {}) => specAfter(spec, 'execute', options),
    cancel: (spec, options = {}) => specAfter(spec, 'cancel', options),
    retry: (spec, options = {}) => specAfter(spec, 'retry', options),
    deleteSpec: (spec) => remove(`${specs}/${spec}`),
    preview: (spec) => http.ask(previewSchema, { ...get, path: `${specs}/${spec}/preview` }),
    apply: (spec, options = {}) => batchChangeAfter(`${specs}/${spec}/apply`, options),
    list: async (filter = {}) =>
      (await http.ask(batchChangesSchema, { ...get, path: `${batchChanges}?${queryOf(filter)}` }))
        .batchChanges,
    batchChange: (id) => http.ask(batchChangeRecordSchema, { ...get, path: `${batchChanges}/${id}` }),
    changesets: async (id) =>
      (await http.ask(changesetsSchema, { ...get, path: `${batchChanges}/${id}/changesets` })).changesets,
    close: (id, options) => batchChangeAfter(`${batchChanges}/${id}/close`, options),
    move: (id, place) => batchChangeAfter(`${batchChanges}/${id}/move`, place),
    deleteBatchChange: (id) => remove(`${batchChanges}/${id}`),
    publish: (id, request) => batchChangeAfter(`${batchChanges}/${id}/publish`, request),
    merge: (id, request) => batchChangeAfter(`${batchChanges}/${id}/merge`, request),
    comment: (id, request) => batchChangeAfter(`${batchChanges}/${id}/comment`, request),
    change: (id, action, changesets) => batchChangeAfter(`${batchChanges}/${id}/${action}`, { changesets }),
    settings: () => http.ask(batchSettingsSchema, { ...get, path: settingsPath }),
    setSettings: (json) => http.ask(batchSettingsSchema, { method: 'PUT', path: settingsPath, json }),
    removeSettings: () => remove(settingsPath),
    resume: (id) => batchChangeAfter(`${batchChanges}/${id}/resume`, {}),
    rollout: () => http.ask(rolloutSchema, { ...get, path: rolloutPath }),
    setRollout: (json) => http.ask(rolloutSchema, { method: 'PUT', path: rolloutPath, json }),
    removeRollout: () => remove(rolloutPath),
  };
}
