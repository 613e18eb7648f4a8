import type { Client } from '@fumehood/client';

/** Writes into the clipboard of the terminal, turns text around, and forges a line. */
export const evil = 'x\x1b]52;c;aGVsbG8=\x07\x9b31m\u202e\r\nforged';

/** A record of any kind whose every text is hostile. */
export const record: Record<string, unknown> = {
  ...Object.fromEntries(
    'name version user tenant queue executor secret vmm arch url host username kind header branch commit syncedAt nextSyncAt'
      .split(' ')
      .map((name) => [name, evil]),
  ),
  ...{ id: 1, attempt: 1, state: 'failed', outcome: evil, tier: evil, exitCode: 1, cancelRequested: false },
  ...{
    tiers: [evil],
    labels: [evil],
    scopes: [evil],
    queues: [evil],
    repositories: [evil],
    accept: [evil],
    priority: 0,
  },
  ...{ image: evil, command: evil },
  resources: { cpus: 1, memoryMiB: 1, scratchMiB: 1 },
  failure: { reason: evil, message: evil },
  waiting: { reason: evil, message: evil, remedy: evil },
  secrets: [{ createdAt: evil, endsAt: evil, lastUsedAt: evil }],
  ...{ weight: 1, waitingJobs: 1, running: 1, admin: true, draining: false, trouble: evil, uploadId: null },
  ...{ queuedAt: evil, processAfter: evil, startedAt: evil, finishedAt: evil, expectedStartAt: evil },
  ...{ createdAt: evil, lastSeenAt: evil, lastUsedAt: evil, expiresAt: evil },
};
const entry = { ...record, entry: 1, key: `step.${evil}`, durationMs: 1, command: [evil] };
const receipt = {
  ...{ at: 0, kind: 'connection', name: null, address: '1.1.1.1', port: 1, serverName: evil },
  ...{ sentBytes: 0, receivedBytes: 0, verdict: 'allowed', rule: evil, reason: null, seq: 0, step: evil },
};
const network = { attempt: 1, policy: null, receipts: [receipt], total: 1, dropped: 0, ended: true };
const events = async function* () {
  yield { type: 'job', job: { ...record, state: 'processing' } };
  yield { type: 'entry', entry };
  yield {
    type: 'output',
    attempt: 1,
    entry: 1,
    stream: 'stdout',
    data: Buffer.from(evil).toString('base64'),
  };
  yield {
    type: 'output',
    attempt: 1,
    entry: 1,
    stream: 'stderr',
    data: Buffer.from(evil).toString('base64'),
  };
  yield { type: 'job', job: record };
};
const delivery = { receivedAt: evil, sender: evil, event: evil, id: evil, result: 'sync' };
const webhook = async () => ({ ...record, path: evil, setBy: evil, setAt: evil, lastDelivery: delivery });
const one = () => Promise.resolve(record);
const all = () => Promise.resolve([record]);
const ceiling = { ...record, policy: { mode: evil } };
const status = { tiers: [evil], executors: [record], jobs: { queued: 0, processing: 0 } };
const answer = {
  repository: 'acme/greeter',
  commit: evil,
  precision: 'nearby',
  indexedCommit: evil,
  next: evil,
};
const location = { repository: evil, commit: evil, path: evil, line: 0, character: 0, symbol: evil };
const locations = async () => ({ ...answer, locations: [location] });
const workspace = {
  ...{ ...record, id: evil, repository: evil, path: evil, reason: evil, jobId: 1, stepCount: 1 },
  steps: [{ step: 0, state: 'failed', stdout: evil, stderr: evil, outputs: {}, stat: null }],
};
const batchSpec = {
  ...{ ...record, id: evil, namespace: evil, state: 'completed', resolution: 'completed' },
  ...{ resolutionFailure: evil, buildFailure: evil, executedAt: evil, workspaces: { failed: 1 } },
};
const batchChange = { ...batchSpec, description: evil, wavesStopped: evil, changesets: { open: 1 } };
const changeset = {
  ...record,
  id: evil,
  state: 'unpublished',
  repository: evil,
  headRef: evil,
  ...{ archivedAt: null, detachedAt: null, published: null },
  review: evil,
};
const inBatchChange = async () => batchChange;
const batches = {
  ...{ createSpec: async () => batchSpec, spec: async () => batchSpec, execute: async () => batchSpec },
  ...{ cancel: async () => ({ ...batchSpec, state: evil }), retry: async () => batchSpec },
  workspaces: async () => ({ workspaces: [workspace], next: null }),
  async *events() {
    yield { type: 'workspace', workspace };
    yield { type: 'spec', state: 'completed', resolution: 'completed' };
  },
  workspace: async () => workspace,
  preview: async () => ({
    ...{ namespace: evil, name: evil, batchChange: evil, stats: { push: 1 } },
    changesets: [{ operations: ['push'], repository: evil, headRef: evil, title: evil, stat: null }],
  }),
  ...{ apply: inBatchChange, list: async () => [batchChange], close: inBatchChange, publish: inBatchChange },
  ...{ merge: inBatchChange, comment: inBatchChange },
  ...{ change: inBatchChange, move: inBatchChange, deleteBatchChange: async () => {} },
  changesets: async () => [changeset],
  resume: inBatchChange,
  rollout: async () => ({ windows: null, setBy: evil, setAt: evil }),
  settings: async () => ({ options: { [evil]: evil }, setBy: evil, setAt: evil }),
};
/** An instance whose every text is hostile. */
export const client = {
  ...{ createJob: one, job: one, attempts: all, why: one, shares: all, setShare: one, cancel: one, events },
  ...{ jobs: async () => ({ jobs: [record], next: 1 }), status: async () => status, setDraining: one },
  sendInput: async () => {},
  network: async () => network,
  batches,
  codeHosts: { list: all, set: one },
  registries: { list: all, set: one, remove: async () => {} },
  broker: { list: all, set: one, remove: async () => {} },
  ceilings: { list: async () => [ceiling], set: async () => ceiling, remove: async () => {} },
  secrets: { list: all },
  organisations: { list: async () => [{ ...record, members: [evil] }] },
  repositories: {
    list: all,
    show: async () => ({ ...record, webhook: { setAt: evil, lastDelivery: delivery } }),
    ...{ webhook, setWebhook: webhook },
  },
  code: {
    policies: async () => [{ ...record, repositories: evil, kind: 'tag', pattern: evil }],
    status: async () => ({
      ...{ repository: 'acme/greeter', tip: evil, policies: [evil] },
      indexes: [
        {
          ...{
            ...record,
            root: evil,
            indexer: evil,
            indexerVersion: evil,
            uploadedAt: evil,
            jobId: 1,
            behind: 1,
          },
          uploadedBy: evil,
        },
      ],
      commits: [
        {
          ...record,
          commit: evil,
          plannedAt: evil,
          policy: evil,
          source: evil,
          notes: [evil],
          failure: evil,
          jobs: [
            { id: 1, state: evil, root: evil, indexer: evil, uploadId: null, documents: null, failure: evil },
          ],
        },
      ],
    }),
    dependencies: async () => ({
      indexing: null,
      dependencies: [{ manager: evil, name: evil, version: evil, state: evil, jobId: 1, failure: evil }],
    }),
    settings: async () => ({
      ...record,
      settings: { network: { mode: evil }, broker: [evil], secrets: [evil] },
      setBy: evil,
      setAt: evil,
    }),
    config: async () => ({ ...record, text: evil }),
    indexers: async () => [{ language: 'go', image: evil, isDefault: false }],
    index: async () => ({
      ...record,
      source: evil,
      commit: evil,
      jobs: [{ root: evil, indexer: evil, reason: evil, jobId: 1 }],
      notes: [evil],
    }),
    ...{ definition: locations, references: locations, implementations: locations },
    callers: async () => ({ ...answer, callers: [{ at: location, caller: { ...location, name: evil } }] }),
    hover: async () => ({ ...answer, hover: { text: evil } }),
    symbols: async () => ({ ...answer, symbols: [{ line: 0, character: 0, name: evil, kind: evil }] }),
  },
  access: {
    ...{ users: all, createUser: one, tokens: all, createToken: one, revokeToken: one, credentials: all },
    ...{ createCredential: one, rotateCredential: one, revokeCredential: one, endRotation: one },
    createJoinToken: async () => ({ ...record, instanceUrl: evil, token: evil, expiresAt: evil }),
  },
} as unknown as Client;
