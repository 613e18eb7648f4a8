import { FumehoodError } from '@fumehood/base';
import type { Scope } from '@fumehood/protocol';

/** A refusal of a request. Upstream's executors get `message` as its text. */
function refused(status: number, code: string, message: string, remedy?: string): FumehoodError {
  return new FumehoodError({ status, code, message, remedy });
}

export const unauthorized = (message: string, remedy?: string) =>
  refused(401, 'unauthorized', message, remedy);
export const forbidden = (message: string) => refused(403, 'forbidden', message);
export const badRequest = (message: string) => refused(400, 'invalid_request', message);

export const routeNotFound = ({ method, url }: { method: string; url: string }) =>
  refused(404, 'not_found', `there is no ${method} ${url.slice(0, 500)}`);

export const methodNotAllowed = (method: string, allowed: readonly string[]) =>
  refused(405, 'method_not_allowed', `this path takes ${allowed.join(' and ')}, not ${method}`);

export const accessTokenNeeded = () =>
  unauthorized(
    'this request needs an access token',
    'Send `Authorization: token <access token>`. The first token is in the file run/token of the state directory.',
  );

/** The token is valid, but lacks the scope of the route. */
export const scopeMissing = (
  person: {
    readonly name: string;
    readonly scopes: readonly string[];
    readonly token: { readonly name: string };
  },
  scope: Scope,
) =>
  refused(
    403,
    'scope_missing',
    `this request needs an access token with the scope ${scope}; ${person.token.name} of ${person.name} has ${person.scopes.join(', ')}`,
    scope === 'admin'
      ? 'Ask an admin, or use a token with the scope admin if you are one.'
      : `Make another token: \`fumehood tokens create NAME --scope ${scope}\`.`,
  );

export const nameTaken = (what: string, name: string) =>
  refused(409, 'name_taken', `there is already ${what} with the name ${name}`, 'Choose another name.');

export const userNotFound = (name: string) =>
  refused(
    404,
    'user_not_found',
    `there is no user ${name}`,
    `Make the user first: \`fumehood users create ${name}\`.`,
  );

export const joinTokenInvalid = () =>
  unauthorized(
    'the join token is not valid: it was used, replaced, or is older than an hour',
    'Make another one: `fumehood executors add NAME`.',
  );

export const accessNotFound = (what: string, id: number) =>
  refused(
    404,
    'access_not_found',
    `there is no ${what} ${id}, or it was revoked`,
    'List the ones that exist.',
  );

export const registryNotFound = (host: string) =>
  refused(
    404,
    'registry_not_found',
    `there is no credential for the registry ${host}`,
    'List those that there are: `fumehood registries list`.',
  );

export const tooManyRegistries = (bound: number) =>
  refused(
    409,
    'too_many_registries',
    `the instance has credentials for ${bound} registries, the most that are allowed`,
    'Remove those that no job needs: `fumehood registries remove HOST`.',
  );

export const secretNotFound = (names: readonly string[]) =>
  refused(
    404,
    'secret_not_found',
    `there is no secret ${names.join(', ')}`,
    `Set it first: \`fumehood secrets set ${names[0] ?? 'NAME'}\`. Each user has secrets of their own.`,
  );

export const tooManySecrets = (bound: number) =>
  refused(
    409,
    'too_many_secrets',
    `there are ${bound} secrets of this owner, the most that are allowed`,
    'Remove those that no job needs: `fumehood secrets remove NAME`.',
  );

export const brokerNotFound = (names: readonly string[]) =>
  refused(
    404,
    'broker_not_found',
    `the broker has no entry ${names.join(', ')} for this job`,
    'List the entries that there are, with their queues and repositories: `fumehood broker list`.',
  );

export const tooManyBrokerEntries = (bound: number) =>
  refused(
    409,
    'too_many_broker_entries',
    `the broker has ${bound} entries, the most that are allowed`,
    'Remove those that no job needs: `fumehood broker remove NAME`.',
  );

export const ceilingNotFound = (queue: string | null, tenant: string | null) =>
  refused(
    404,
    'ceiling_not_found',
    `there is no ceiling for the jobs of ${queue ?? 'every queue'} and of ${tenant ?? 'every tenant'}`,
    'List those that there are: `fumehood network ceilings list`.',
  );

export const tooManyCeilings = (bound: number) =>
  refused(
    409,
    'too_many_ceilings',
    `the instance has ${bound} ceilings, the most that are allowed`,
    'Remove those that nobody needs: `fumehood network ceilings remove`.',
  );

export const notAdmin = (user: string) =>
  refused(
    400,
    'invalid_request',
    `${user} is not an admin, so no token of theirs can have the scope admin`,
    'Choose other scopes, or make a user who is an admin.',
  );

export const outlasts = (end: Date) =>
  refused(
    400,
    'invalid_request',
    `the new token would outlast the one that makes it, which ends at ${end.toISOString()}`,
    'Give the new token an earlier end, or use a token that lasts longer.',
  );

export const tooManyTokens = (user: string, bound: number) =>
  refused(409, 'too_many_tokens', `${user} has ${bound} access tokens`, 'Revoke a token that is not used.');

export const queueUnknown = (queue: string) =>
  refused(400, 'queue_unknown', `this instance has no queue ${queue}`);

export const jobNotFound = (id: number) =>
  refused(404, 'job_not_found', `there is no job ${id}`, 'List those that there are: `fumehood jobs list`.');

/** The lease is not valid: the job has another attempt or executor, was canceled or marked, or the lease ran out. */
export const leaseLost = (id: number) =>
  refused(
    404,
    'lease_lost',
    `the lease of job ${id} is over`,
    'Stop the job and destroy its VM: the instance accepts no more writes of this attempt.',
  );

export const jobEnded = (id: number, state: string) =>
  refused(409, 'job_ended', `job ${id} has ended as ${state}`, 'Create a new job.');

export const jobNotEnded = (id: number, state: string) =>
  refused(
    409,
    'job_not_ended',
    `job ${id} is ${state}, and only a job that has ended can be deleted`,
    'Cancel it first.',
  );

export const offsetGap = (expected: number, offered: number) =>
  new FumehoodError({
    status: 409,
    code: 'offset_gap',
    message: `the bytes begin at offset ${offered}, but those from offset ${expected} are missing`,
    remedy: `Send again from offset ${expected}.`,
    details: { offset: expected },
  });

export const entryNotFound = (entry: number) =>
  refused(404, 'entry_not_found', `there is no log entry ${entry}`, 'Add the entry before its output.');

export const tooManyEntries = (limit: number) =>
  refused(
    409,
    'too_many_entries',
    `an attempt has at most ${limit} log entries`,
    'Write to the existing entries.',
  );

export const tooManyChanges = (limit: number) =>
  refused(
    409,
    'too_many_changes',
    `a log entry changes at most ${limit} times`,
    'Update an entry at the end of its phase.',
  );

export const tooManyResults = (limit: number) =>
  refused(409, 'too_many_results', `an attempt has at most ${limit} results`, 'Send the result once.');

export const noInput = (id: number) =>
  refused(409, 'no_input', `job ${id} takes no input`, 'Create the job with `"stdin": true`.');

export const inputEnded = (id: number) =>
  refused(409, 'input_ended', `the input of job ${id} has ended`, 'Send all bytes before the end.');

export const queryTooBig = (maxBytes: number) =>
  refused(
    413,
    'request_too_big',
    `a request of GraphQL has at most ${maxBytes} bytes when it is unpacked`,
    'Ask less at once.',
  );

export const inputTooBig = (maxBytes: number) =>
  refused(
    413,
    'input_too_big',
    `the input of a job is limited to ${maxBytes} bytes`,
    'Put larger data into the image.',
  );

export const blobNotFound = (digest: string) =>
  refused(404, 'blob_not_found', `there is no blob ${digest}`, `Upload it: PUT /api/blobs/${digest}.`);

export const executorUrlMissing = () =>
  refused(
    409,
    'executor_url_missing',
    'this instance has no address for executors of other makers',
    'Set `upstream.url` in its configuration, or upload the image: PUT /api/blobs/<digest>.',
  );

export const blobDigestWrong = (expected: string, actual: string) =>
  refused(
    400,
    'digest_mismatch',
    `the bytes have the digest ${actual}, not ${expected}`,
    'Send the file unchanged.',
  );

export const blobTooBig = (maxBytes: number) =>
  refused(413, 'blob_too_big', `a blob is at most ${maxBytes} bytes`, 'Make the image smaller.');

export const artifactNotDeclared = (path: string) =>
  refused(
    403,
    'artifact_not_declared',
    `the job does not bring back ${path}`,
    'Send only what `artifacts` of the job names.',
  );

export const artifactTooBig = (maxBytes: number) =>
  refused(
    413,
    'artifact_too_big',
    `what a job brings back has at most ${maxBytes} bytes`,
    'Have the job bring back less.',
  );

export const artifactNotFound = (id: number, path: string) =>
  refused(
    404,
    'artifact_not_found',
    `job ${id} has not brought back ${path}`,
    `GET /api/jobs/${id}/artifacts lists what it has.`,
  );

export const attemptNotFound = (id: number, attempt: number) =>
  refused(
    404,
    'attempt_not_found',
    `job ${id} has no attempt ${attempt}`,
    `GET /api/jobs/${id}/attempts lists those that it has.`,
  );

export const commitNotFound = (repository: string, commit: string) =>
  refused(
    404,
    'commit_not_found',
    `the instance does not have commit ${commit} of ${repository}`,
    `Upload it: POST /api/repositories/${repository}/pack?commit=${commit}.`,
  );

export const hostUnknown = (host: string) =>
  refused(
    421,
    'host_unknown',
    `${JSON.stringify(host.slice(0, 100))} is not a name of this instance`,
    'Use the address that `fumehood status` prints, or list the name in `hosts` of its configuration.',
  );

/** The disk of the database or of the directories is full; nothing of the request was stored. */
export const storageFull = () =>
  refused(
    507,
    'storage_full',
    'the disk of the instance is full',
    'Free space there (`fumehood status` shows what takes it) and repeat the request; nothing has to be restarted.',
  );

/** The two sides are more than one version apart, so neither understands the other. */
export const versionsApart = (executor: string, instance: number) =>
  new FumehoodError({
    status: 426,
    code: 'versions_apart',
    message: `this instance speaks version ${instance} of the native protocol, and the executor version ${JSON.stringify(executor.slice(0, 20))}`,
    remedy: 'Update the older of the two: versions that are one apart work together.',
    details: { instance, executor: executor.slice(0, 20) },
  });

export const executorNotFound = (name: string) =>
  refused(
    404,
    'executor_not_found',
    `there is no executor ${JSON.stringify(name)}`,
    'Use a name that `fumehood executors list` shows.',
  );

export const executorNameInUse = (name: string) =>
  refused(
    409,
    'executor_name_in_use',
    `another machine uses the executor name ${JSON.stringify(name)}, and was heard of within the last 10 seconds`,
    'Give each executor a name of its own (`name` in its configuration), or stop the other one first.',
  );

export const idempotencyConflict = () =>
  refused(
    409,
    'idempotency_conflict',
    'another request has used this idempotency key',
    'Use a new key for a new request, and the same body when you repeat one.',
  );

export const tooManyQueued = (tenant: string, bound: number) =>
  refused(
    429,
    'too_many_queued',
    `${tenant} already has ${bound} waiting jobs, the most that are allowed`,
    'Wait until some have started, or cancel some.',
  );

/** The sender of a body stalls, or is below the least rate, or takes longer than any body may. */
export const bodyTooSlow = () =>
  refused(
    408,
    'body_too_slow',
    'the body of the request comes too slowly',
    'Send it again over a faster connection.',
  );

export const tooManyBodies = (maxBytes: number) =>
  refused(
    429,
    'too_many_bodies',
    `the requests of this sender that are still arriving have more than ${maxBytes} bytes`,
    'Send them one after the other.',
  );

export const tooManyAtOnce = (what: string, bound: number) =>
  refused(
    429,
    'too_many_at_once',
    `one sender may have at most ${bound} ${what} at once`,
    'Wait until an earlier one has ended.',
  );

export const instanceBusy = (what: string) =>
  refused(503, 'instance_busy', `the instance is busy with other ${what}`, 'Try again.');

export const tenantForeign = (tenant: string) =>
  refused(
    403,
    'tenant_foreign',
    `only an admin sees the jobs of ${JSON.stringify(tenant)}`,
    'Leave out the tenant to list your own jobs.',
  );
