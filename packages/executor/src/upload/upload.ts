import { createWriteStream } from 'node:fs';
import { chmod } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type FumehoodError, type Spawn, sharedDirectory } from '@fumehood/base';
import { executorNameHeader, type Job, jobIdHeader } from '@fumehood/protocol';
import { instanceUnreachable, leaseLost, uploadFailed } from '../errors.ts';
import type { OutputStream, PhaseLog } from '../uplink/log-entry.ts';
import { openUploadProxy } from './upload-proxy.ts';
import type { Upload } from './upload-step.ts';

/** The bundled `src` and what runs it, as paths of the host. */
export interface UploadClient {
  readonly node: string;
  readonly script: string;
}

/** Where the client finds itself and its work; the helper's list of programs names the first. */
export const uploadProgram = '/opt/fumehood/node';
const scriptTarget = '/opt/fumehood/src.mjs';
const workTarget = '/upload';
const indexName = 'index.scip';
const socketName = 'instance.sock';
const timeMs = 600_000;

/** Takes a guest's file into the directory that the client will see. Errors: `artifact_…`. */
export async function storeIndex(directory: string, content: Readable): Promise<void> {
  await sharedDirectory(directory);
  const file = join(directory, indexName);
  await pipeline(content, createWriteStream(file, { flags: 'wx' }));
  await chmod(file, 0o640);
}

/**
 * Sends the stored index with `src`, which runs like every program that reads a tenant's bytes: under the Spawn profile, in
 * an empty directory, with every flag given, and with one way out, to the upload route of this instance. The credential is
 * in its environment alone. Errors: `upload_failed`; `instance_unreachable` and `lease_lost`, which are no failure of the job.
 */
export async function uploadIndex(
  deps: {
    readonly spawn: Spawn;
    readonly client: UploadClient;
    readonly instanceUrl: string;
    readonly executorName: string;
    /** Whether the instance leased the job natively. */
    readonly native: boolean;
    readonly log: PhaseLog;
    readonly stopped: AbortSignal;
  },
  job: Pick<Job, 'id' | 'repositoryName' | 'commit'>,
  upload: Upload,
  directory: string,
): Promise<void> {
  let status: number | null = 0;
  const proxy = await openUploadProxy(
    join(directory, socketName),
    deps.instanceUrl,
    { [jobIdHeader]: String(job.id), [executorNameHeader]: deps.executorName },
    (answered) => {
      status = answered;
    },
  );
  try {
    const process = await deps.spawn({
      label: 'src code-intel upload',
      program: uploadProgram,
      args: [scriptTarget, ...uploadArguments(job, upload)],
      env: {
        // By way of the socket; the host name is only shown.
        SRC_ENDPOINT: `http://${new URL(deps.instanceUrl).host}`,
        SRC_PROXY: `unix://${workTarget}/${socketName}`,
        SRC_HEADER_AUTHORIZATION: upload.authorization,
      },
      binds: [
        { source: deps.client.node, target: uploadProgram, mode: 'ro' },
        { source: deps.client.script, target: scriptTarget, mode: 'ro' },
        { source: directory, target: workTarget, mode: 'ro' },
      ],
      limits: { memoryBytes: 0, timeMs },
    });
    const kill = () => process.kill();
    deps.stopped.addEventListener('abort', kill);
    process.stdin.end();
    const write = async (stream: OutputStream) => {
      for await (const chunk of process[stream]) await deps.log.write(stream, chunk as Buffer);
    };
    await Promise.all([write('stdout'), write('stderr')]).catch(kill);
    const { code, timedOut } = await process.exited;
    deps.stopped.removeEventListener('abort', kill);
    deps.stopped.throwIfAborted();
    if (timedOut) throw uploadFailed(`it took more than ${timeMs / 1000} s`);
    if (code !== 0) throw failure(code, status, deps.native);
  } finally {
    await proxy.close();
  }
}

/** By the last status that the client saw; null when the instance gave no answer. */
function failure(code: number | null, status: number | null, native: boolean): FumehoodError {
  const action = 'upload an index';
  if (status === null) return instanceUnreachable(action, 'it did not answer');
  if (status >= 500) return instanceUnreachable(action, `it answered ${status}`);
  // At an instance of upstream's kind the token is the executors' own and outlives every lease: there it is a wrong one.
  if (status === 401 && native) return leaseLost('the instance does not know its token any more');
  return uploadFailed(`\`src code-intel upload\` ended with ${code ?? 'a signal'}`);
}

function uploadArguments(
  { repositoryName, commit }: Pick<Job, 'repositoryName' | 'commit'>,
  { root, indexer, route, associatedIndexId }: Upload,
): string[] {
  return [
    'code-intel',
    'upload',
    '-no-progress',
    `-repo=${repositoryName}`,
    `-commit=${commit}`,
    `-root=${root}`,
    `-file=${workTarget}/${indexName}`,
    ...(indexer === null ? [] : [`-indexer=${indexer}`]),
    `-upload-route=${route}`,
    `-associated-index-id=${associatedIndexId}`,
  ];
}
