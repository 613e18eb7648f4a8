import { writeFile } from 'node:fs/promises';
import { counted } from '@fumehood/base';
import {
  batchSpecBeginning,
  type Client,
  followExecution,
  openClient,
  readSpecFile,
  type SpecFile,
  sendMounts,
} from '@fumehood/client';
import type { BatchSpecRecord, WorkspaceRecord } from '@fumehood/protocol';
import { batchFailed, fileExists, settingsInvalid } from './errors.ts';
import { readSettings, type Settings } from './settings.ts';

/** What the commands of batch changes work with. */
export interface BatchDeps {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly stdin: AsyncIterable<Uint8Array>;
  readonly print: (line: string) => void;
}

/** The flags of a command of batch changes. */
export interface Flags {
  readonly f: string;
  readonly namespace?: string;
  readonly allowIgnored?: boolean;
  readonly allowUnsupported?: boolean;
  readonly clearCache?: boolean;
}

/** What is sent, and to whom. */
interface Sent {
  readonly client: Client;
  readonly spec: BatchSpecRecord;
}

/** Sends a batch spec with what its steps mount. Errors: those of `readSpecFile` and of the instance. */
async function send(flags: Flags, { environment, stdin }: BatchDeps): Promise<Sent & { file: SpecFile }> {
  const client = clientOf(readSettings(environment));
  const file = await readSpecFile(flags.f, stdin);
  const spec = await client.batches.createSpec({
    text: file.text,
    ...(flags.namespace !== undefined && { namespace: flags.namespace }),
    allowIgnored: flags.allowIgnored ?? false,
    allowUnsupported: flags.allowUnsupported ?? false,
    noCache: flags.clearCache ?? false,
  });
  await sendMounts(client, spec, file.mounts);
  return { client, spec, file };
}

async function execute(flags: Flags, deps: BatchDeps): Promise<Sent> {
  const { client, spec } = await send(flags, deps);
  return { client, spec: await client.batches.execute(spec.id) };
}

/** Executes a batch spec and waits for its end. Errors: `batch_failed`. */
async function completed(flags: Flags, deps: BatchDeps): Promise<Sent> {
  const { client, spec } = await execute(flags, deps);
  deps.print(`The instance runs it as ${spec.id}: fumehood batches cancel ${spec.id} ends that.`);
  const last = await followExecution(client, spec.id, {
    view: { onWorkspace: (workspace) => deps.print(progressLine(workspace)), end: () => {} },
  });
  if (last.state !== 'completed')
    throw batchFailed(spec.id, last.resolutionFailure ?? last.buildFailure ?? last.state);
  return { client, spec: last };
}

/** Has a batch spec executed, and does not wait. Errors: those of `readSpecFile` and of the instance. */
export async function remote(flags: Flags, deps: BatchDeps): Promise<void> {
  const { spec } = await execute(flags, deps);
  deps.print(`The instance runs it as ${spec.id}: fumehood batches status --follow ${spec.id}`);
}

/** Checks a batch spec. Errors: those of `readSpecFile`. */
export async function validate(path: string, { stdin, print }: BatchDeps): Promise<void> {
  await readSpecFile(path, stdin);
  print('Batch spec successfully validated.');
}

/** Executes a batch spec, and prints what applying it would do. Errors: `batch_failed`, those of `readSpecFile` and of the instance. */
export async function preview(flags: Flags, deps: BatchDeps): Promise<void> {
  const { client, spec } = await completed(flags, deps);
  const { changesets } = await client.batches.preview(spec.id);
  for (const { operations, repository, headRef, title } of changesets)
    deps.print(plain(`${operations.join(', ')}: ${repository} ${headRef ?? ''} ${title ?? ''}`));
  deps.print(
    `${counted(changesets.length, 'changeset')}; nothing has happened yet: src batch apply -f ${flags.f}`,
  );
}

/** Executes and applies a batch spec. Errors: as `preview`. */
export async function apply(flags: Flags, deps: BatchDeps): Promise<void> {
  const { client, spec } = await completed(flags, deps);
  const { namespace, name, id } = await client.batches.apply(spec.id);
  const changesets = await client.batches.changesets(id);
  deps.print(
    plain(`Applied to ${namespace}/${name} (${id}), with ${counted(changesets.length, 'changeset')}.`),
  );
}

/** Prints the repositories in which the steps would run. Errors: as `preview`. */
export async function listRepositories(flags: Flags, deps: BatchDeps): Promise<void> {
  const { client, spec } = await send(flags, deps);
  const names = new Set<string>();
  const last = await followExecution(client, spec.id, {
    view: { onWorkspace: ({ repository }) => void names.add(repository), end: () => {} },
    until: ({ resolution }) => resolution === 'completed' || resolution === 'failed',
  });
  if (last.resolutionFailure !== null) throw batchFailed(spec.id, last.resolutionFailure);
  for (const name of names) deps.print(plain(name));
}

/** Writes a batch spec to begin with. Errors: `file_exists`. */
export async function writeBeginning(path: string, { print }: BatchDeps): Promise<void> {
  await writeFile(path, batchSpecBeginning('hello-world'), { flag: 'wx' }).catch(
    (error: NodeJS.ErrnoException) => {
      throw fileExists(path, error.code ?? error.message);
    },
  );
  print(`${path} created.`);
}

/** Errors: `settings_invalid`. */
function clientOf({ endpoint, headers, socketPath }: Settings): Client {
  const [, token] = /^token (.+)$/i.exec(headers.authorization ?? '') ?? [];
  if (token === undefined)
    throw settingsInvalid(
      'there is no access token',
      'Set SRC_ACCESS_TOKEN to one with code:read and code:write.',
    );
  return openClient({ url: socketPath === null ? endpoint.href : `unix:${socketPath}`, token });
}

function progressLine({ repository, path, state, steps, stepCount, reason }: WorkspaceRecord): string {
  const where = path === '' ? repository : `${repository}/${path}`;
  const step = steps.at(-1);
  const how = state === 'processing' && step ? `step ${step.step + 1} of ${stepCount}` : state;
  return plain(reason === null ? `${where}: ${how}` : `${where}: ${how}: ${reason}`);
}

/** Returns text of others without what a terminal acts on. */
const plain = (text: string) => text.replace(/[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu, '?');
