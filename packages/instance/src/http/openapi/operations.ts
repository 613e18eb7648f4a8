import { artifactPathSchema, idempotencyKeySchema, storedRepositorySchema } from '@fumehood/protocol';
import * as z from 'zod';
import { batchOperations } from './batch-operations.ts';
import type { Operation } from './operation.ts';

/** Every route of people and programs, by `METHOD url`. A route that is not listed here cannot be registered. */
export const operations: Readonly<Record<string, Operation>> = {
  ...batchOperations,
  'GET /api/openapi.json': {
    summary: 'This document. Needs no token.',
    answers: { 200: 'application/json' },
  },
  'GET /api/status': {
    summary: 'The version of the instance, its connected executors, and how many jobs wait and run.',
    answers: { 200: 'Status' },
  },
  'POST /api/jobs': {
    summary:
      'Creates a job. With an idempotency key a repeated request makes no second job. A job of `codeintel` also needs the scopes code:read and code:write, and a run in a repository code:read.',
    headers: { 'Idempotency-Key': idempotencyKeySchema.optional() },
    answers: { 201: 'Job' },
  },
  'GET /api/jobs': { summary: 'Lists jobs, newest first.', answers: { 200: 'JobPage' } },
  'GET /api/jobs/:id': { summary: 'A job as it is now.', answers: { 200: 'Job' } },
  'DELETE /api/jobs/:id': {
    summary: 'Deletes a job that has ended, with its attempts and its output. An index that it made stays.',
    answers: { 204: null },
  },
  'GET /api/jobs/:id/why': {
    summary: 'Why a job does not run yet, and when it is likely to start.',
    answers: { 200: 'Why' },
  },
  'GET /api/jobs/:id/attempts': {
    summary: 'Every attempt of a job, oldest first.',
    answers: { 200: 'Attempts' },
  },
  'GET /api/jobs/:id/events': {
    summary:
      'Follows a job until it has ended: server-sent events, each with a JobEvent as `data`. Resumes after `Last-Event-ID`. With `follow=false` only the events so far; with `tail` only the output that was among the last so many bytes of its stream.',
    headers: { 'Last-Event-ID': z.int().nonnegative().optional() },
    answers: { 200: { events: 'JobEvent' } },
  },
  'GET /api/jobs/:id/logs': {
    summary:
      "The output of the job's steps as plain text, of every attempt, in the order of its arrival. With `follow` until the job has ended.",
    answers: { 200: 'text/plain' },
  },
  'GET /api/jobs/:id/artifacts': {
    summary: 'What the last attempt of a job brought back from the paths that `artifacts` of the job names.',
    answers: { 200: 'Artifacts' },
  },
  'GET /api/jobs/:id/artifacts/*': {
    summary:
      'What a job brought back from a path, as a tar archive. The archive was written in the VM: take it for hostile.',
    wildcard: { path: '/api/jobs/{id}/artifacts/{path}', name: 'path', schema: artifactPathSchema },
    answers: { 200: 'application/x-tar' },
  },
  'GET /api/jobs/:id/network': {
    summary:
      'What an attempt of a job has asked of the network so far: a receipt for every lookup and connection, the first and the last 500 of more than 1,000, and the policy that applied. docs/receipt.schema.json is the schema of a receipt.',
    answers: { 200: 'JobNetwork' },
  },
  'POST /api/jobs/:id/cancel': {
    summary: 'Cancels a job. One that runs has ended when its executor has destroyed the VM.',
    answers: { 200: 'Job' },
  },
  'POST /api/jobs/:id/input': {
    summary:
      'Appends bytes to the stdin of a job that was created with `"stdin": true`. Sending bytes again at their offset changes nothing.',
    bytes: true,
    answers: { 200: 'InputOffset' },
  },
  'PUT /api/blobs/:digest': {
    summary: 'Stores an image archive (`docker save`, OCI) under the SHA-256 of its bytes.',
    bytes: true,
    answers: { 200: 'StoredBlob', 201: 'StoredBlob' },
  },
  'HEAD /api/blobs/:digest': {
    summary: 'Whether the instance has a blob; `Content-Length` is its size.',
    answers: { 200: null },
  },
  'POST /api/repositories/*': {
    summary:
      'Stores one commit of a repository, from a pack (`git pack-objects`) that holds this commit and nothing else.',
    bytes: true,
    wildcard: { path: '/api/repositories/{name}/pack', name: 'name', schema: storedRepositorySchema },
    answers: { 200: 'StoredCommit', 201: 'StoredCommit' },
  },
  'PUT /api/histories/*': {
    summary:
      'Stores the history of a commit, the tip of a branch, from a pack, in a repository without a URL. With `base` the pack lacks what is in the history of that commit.',
    bytes: true,
    wildcard: { path: '/api/histories/{name}', name: 'name', schema: storedRepositorySchema },
    answers: { 200: 'Repository' },
  },
  'GET /api/uploads/:id': { summary: 'A stored index.', answers: { 200: 'Upload' } },
  'GET /api/uploads/:id/definition': {
    summary: 'Where the symbol at a place is defined.',
    answers: { 200: 'Definitions' },
  },
  'GET /api/uploads/:id/example': {
    summary: 'A reference in the index, with its definition.',
    answers: { 200: 'DefinitionExample' },
  },
  'GET /api/shares': {
    summary: 'The weight, and the waiting and running jobs, of each tenant in each queue.',
    answers: { 200: 'Shares' },
  },
  'PUT /api/shares/:queue/:tenant': {
    summary: "Sets the weight of a tenant's jobs in a queue.",
    answers: { 204: null },
  },
  'POST /api/executors/:name/drain': {
    summary: 'Lets an executor lease no more jobs. Jobs that run go on.',
    answers: { 204: null },
  },
  'POST /api/executors/:name/resume': {
    summary: 'Lets an executor lease jobs again.',
    answers: { 204: null },
  },
  'GET /api/broker': {
    summary: 'The entries of the broker, without their secrets, which no answer has.',
    answers: { 200: 'BrokerEntries' },
  },
  'PUT /api/broker/:name': {
    summary:
      'Stores an entry of the broker, in place of an earlier one. Executors get it with jobs, and their steps use it without the credential.',
    answers: { 200: 'BrokerEntry' },
  },
  'DELETE /api/broker/:name': {
    summary: 'Removes an entry of the broker. No job that is leased from now on gets it.',
    answers: { 204: null },
  },
  'GET /api/network/ceilings': {
    summary: 'What the jobs of each queue and tenant may reach over the network at most.',
    answers: { 200: 'Ceilings' },
  },
  'PUT /api/network/ceilings': {
    summary:
      'Stores the ceiling of the network for the jobs of a queue, of a tenant, or of a tenant in a queue, in place of an earlier one. It holds from the next lease on.',
    answers: { 200: 'Ceiling' },
  },
  'DELETE /api/network/ceilings': {
    summary: 'Removes a ceiling of the network. It holds for no job that is leased from now on.',
    answers: { 204: null },
  },
  'GET /api/registries': {
    summary: 'The credentials for registries, without their passwords, which no answer has.',
    answers: { 200: 'Registries' },
  },
  'PUT /api/registries/:host': {
    summary:
      'Stores the credential for a registry, in place of an earlier one. Executors get it with the jobs that name an image there.',
    answers: { 200: 'Registry' },
  },
  'DELETE /api/registries/:host': {
    summary: 'Removes the credential for a registry. No job that is leased from now on gets it.',
    answers: { 204: null },
  },
  'POST /api/indexings': {
    summary: 'Has a commit of a repository indexed, or says which jobs that would be, and why.',
    answers: { 200: 'Indexing' },
  },
  'GET /api/indexings': {
    summary:
      'Which indexes answer for the default branch of a repository, how far they are behind, and what was decided of its latest commits.',
    answers: { 200: 'IndexStatus' },
  },
  'GET /api/index-policies': {
    summary: 'The policies that say which commits are indexed after a sync.',
    answers: { 200: 'IndexPolicies' },
  },
  'PUT /api/index-policies/:name': {
    summary:
      'Stores a policy that says which commits are indexed after a sync. Its jobs are those of the caller.',
    answers: { 200: 'IndexPolicy' },
  },
  'DELETE /api/index-policies/:name': {
    summary: 'Removes a policy. What it had indexed stays.',
    answers: { 204: null },
  },
  'GET /api/index-configs/*': {
    wildcard: { path: '/api/index-configs/{name}', name: 'name', schema: storedRepositorySchema },
    summary: 'The index configuration that the instance has for a repository.',
    answers: { 200: 'IndexConfig' },
  },
  'PUT /api/index-configs/*': {
    wildcard: { path: '/api/index-configs/{name}', name: 'name', schema: storedRepositorySchema },
    summary:
      'Stores the index configuration of a repository, in place of an earlier one. It counts before any file in a commit. A broken one is refused with line and column.',
    answers: { 200: 'IndexConfig' },
  },
  'DELETE /api/index-configs/*': {
    wildcard: { path: '/api/index-configs/{name}', name: 'name', schema: storedRepositorySchema },
    summary:
      'Removes the index configuration that the instance has for a repository. Those in its commits count again.',
    answers: { 204: null },
  },
  'GET /api/index-settings/*': {
    wildcard: { path: '/api/index-settings/{name}', name: 'name', schema: storedRepositorySchema },
    summary: 'What an admin has set for the index jobs of a repository.',
    answers: { 200: 'IndexSettings' },
  },
  'PUT /api/index-settings/*': {
    wildcard: { path: '/api/index-settings/{name}', name: 'name', schema: storedRepositorySchema },
    summary:
      'Sets what the index jobs of a repository get, in place of earlier settings: resources, network, the broker, and the secrets that they may ask for.',
    answers: { 200: 'IndexSettings' },
  },
  'DELETE /api/index-settings/*': {
    wildcard: { path: '/api/index-settings/{name}', name: 'name', schema: storedRepositorySchema },
    summary: 'Removes what an admin has set for the index jobs of a repository.',
    answers: { 204: null },
  },
  'GET /api/dependencies': {
    summary:
      'The packages that indexed repositories name, or one of them does, and which of them are indexed.',
    answers: { 200: 'Dependencies' },
  },
  'PUT /api/dependency-indexing': {
    summary:
      'Has each version of a package that indexes name indexed once, in a job of its own, in place of earlier settings.',
    answers: { 200: 'DependencyIndexing' },
  },
  'DELETE /api/dependency-indexing': {
    summary: 'Has no more packages indexed. Their indexes stay.',
    answers: { 204: null },
  },
  'GET /api/indexers': {
    summary: "The container image of each language's indexer.",
    answers: { 200: 'Indexers' },
  },
  'PUT /api/indexers/:language': {
    summary: "Chooses the container image of a language's indexer.",
    answers: { 204: null },
  },
  'DELETE /api/indexers/:language': {
    summary: "Lets the default image of a language's indexer count again.",
    answers: { 204: null },
  },
  'GET /api/code/definition': {
    summary: 'Where the symbol at a place of a repository is defined.',
    answers: { 200: 'CodeLocations' },
  },
  'GET /api/code/references': {
    summary: 'Where the symbol at a place of a repository is referred to, page by page.',
    answers: { 200: 'CodeLocations' },
  },
  'GET /api/code/implementations': {
    summary: 'What implements the symbol at a place of a repository, page by page.',
    answers: { 200: 'CodeLocations' },
  },
  'GET /api/code/callers': {
    summary:
      'Where the symbol at a place of a repository is referred to, and in which definition, page by page.',
    answers: { 200: 'CodeCallers' },
  },
  'GET /api/code/hover': {
    summary: 'What is known of the symbol at a place of a repository.',
    answers: { 200: 'CodeHover' },
  },
  'GET /api/code/symbols': {
    summary: 'What a file of a repository defines.',
    answers: { 200: 'CodeSymbols' },
  },
  'GET /api/repositories': {
    summary: 'The repositories that the instance mirrors, without their passwords, which no answer has.',
    answers: { 200: 'Repositories' },
  },
  'GET /api/repositories/*': {
    wildcard: { path: '/api/repositories/{name}', name: 'name', schema: storedRepositorySchema },
    summary: 'A repository that the instance mirrors.',
    answers: { 200: 'Repository' },
  },
  'PUT /api/repositories/*': {
    wildcard: { path: '/api/repositories/{name}', name: 'name', schema: storedRepositorySchema },
    summary: 'Mirrors a repository from now on, or changes where from. It is synced at once.',
    answers: { 200: 'Repository' },
  },
  'DELETE /api/repositories/*': {
    wildcard: { path: '/api/repositories/{name}', name: 'name', schema: storedRepositorySchema },
    summary: 'Mirrors a repository no longer. What was indexed stays.',
    answers: { 204: null },
  },
  'GET /api/webhooks/*': {
    wildcard: { path: '/api/webhooks/{name}', name: 'name', schema: storedRepositorySchema },
    summary: 'The webhook by which a code host says that a repository has changed, without its secret.',
    answers: { 200: 'Webhook' },
  },
  'PUT /api/webhooks/*': {
    wildcard: { path: '/api/webhooks/{name}', name: 'name', schema: storedRepositorySchema },
    summary:
      'Gives the webhook of a repository a secret, in place of an earlier one. One that the instance made is in this answer and never again.',
    answers: { 200: 'MadeWebhook' },
  },
  'DELETE /api/webhooks/*': {
    wildcard: { path: '/api/webhooks/{name}', name: 'name', schema: storedRepositorySchema },
    summary: 'Removes the webhook of a repository: no delivery is accepted from now on.',
    answers: { 204: null },
  },
  'POST /api/syncs': {
    summary: 'Has a repository synced at once.',
    answers: { 202: 'Repository' },
  },
  'GET /api/secrets': {
    summary:
      "The caller's secrets, or those of an organisation or of the whole instance, without their values, which no answer has.",
    answers: { 200: 'Secrets' },
  },
  'PUT /api/secrets/:name': {
    summary:
      'Stores a secret of the caller, of an organisation or of the whole instance, in place of an earlier one. The step of a job that names a secret of the caller has it as a variable of its environment; those of organisations and of the instance are for batch changes.',
    answers: { 200: 'Secret' },
  },
  'DELETE /api/secrets/:name': {
    summary: 'Removes a secret. A job that names it and is leased afterwards fails.',
    answers: { 204: null },
  },
  'GET /api/organisations': {
    summary: 'The organisations that the caller is a member of; for an admin, all.',
    answers: { 200: 'Organisations' },
  },
  'POST /api/organisations': {
    summary: 'Makes an organisation, whose members share batch changes and secrets.',
    answers: { 201: 'Organisation' },
  },
  'DELETE /api/organisations/:organisation': {
    summary: 'Removes an organisation that has no batch changes, with its secrets.',
    answers: { 204: null },
  },
  'PUT /api/organisations/:organisation/members/:user': {
    summary: 'Makes a user a member of an organisation.',
    answers: { 200: 'Organisation' },
  },
  'DELETE /api/organisations/:organisation/members/:user': {
    summary: 'Removes a member from an organisation.',
    answers: { 200: 'Organisation' },
  },
  'GET /api/access/users': { summary: 'All users.', answers: { 200: 'Users' } },
  'POST /api/access/users': { summary: 'Makes a user.', answers: { 201: 'User' } },
  'GET /api/access/tokens': {
    summary: "The caller's access tokens; those of all users for an admin.",
    answers: { 200: 'Tokens' },
  },
  'POST /api/access/tokens': {
    summary: 'Makes an access token. Its secret is in this answer and never again.',
    answers: { 201: 'MadeToken' },
  },
  'POST /api/access/tokens/:token/revoke': { summary: 'Revokes an access token.', answers: { 204: null } },
  'POST /api/access/join-tokens': {
    summary:
      'Makes a token by which one executor joins, once, within an hour (`fumehood executor join`). The answer alone shows it.',
    answers: { 201: 'JoinToken' },
  },
  'GET /api/access/executor-credentials': {
    summary: 'The credentials of executors.',
    answers: { 200: 'Credentials' },
  },
  'POST /api/access/executor-credentials': {
    summary: 'Makes a credential for executors. Its secret is in this answer and never again.',
    answers: { 201: 'MadeCredential' },
  },
  'POST /api/access/executor-credentials/:credential/rotate': {
    summary: 'Gives a credential a new secret. The earlier ones end after the overlap.',
    answers: { 201: 'MadeCredential' },
  },
  'POST /api/access/executor-credentials/:credential/revoke': {
    summary: 'Revokes a credential or, with `replaced`, only the secrets that a rotation has replaced.',
    answers: { 204: null },
  },
};
