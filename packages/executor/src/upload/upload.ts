import { createWriteStream } from 'node:fs';
import { chmod } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type AllowedCommand, type FumehoodError, type Spawn, sharedDirectory } from '@fumehood/base';
import { executorNameHeader, type Job, jobIdHeader } from '@fumehood/protocol';
import { instanceUnreachable, leaseLost, uploadFailed } from '../errors.ts';
import type { OutputStream, PhaseLog } from '../uplink/log-entry.ts';
import { openUploadProxy } from './upload-proxy.ts';
import type { Upload } from './upload-step.ts';
import { sandboxNode } from '../sandbox-node.ts';

/** Paths on the host of the bundled `src` client and of the Node that runs it. */
export interface UploadClient {
  readonly node: string;
  readonly script: string;
}

/** Paths in the client's sandbox. */
const scriptTarget = '/opt/fumehood/src.mjs';
const workTarget = '/upload';
const indexName = 'index.scip';
const socketName = 'instance.sock';
const proxyUrl = `unix://${workTarget}/${socketName}`;
const uploadFlags = ['code-intel', 'upload', '-no-progress'];
const indexFlag = `-file=${workTarget}/${indexName}`;
/** Bytes of the client's messages that are searched for its reason. */
const quotedBytes = 1_000;
/** Time for an upload, in ms. */
const uploadMs = 600_000;

/** Returns what the helper has to allow for `uploadIndex` with a directory below `work`. */
export function uploadCommands(client: UploadClient, work: string): AllowedCommand[] {
  const value = '[^\\0]*';
  const flag = (name: string) => new RegExp(`-${name}=${value}`);
  const before = [scriptTarget, ...uploadFlags, flag('repo'), flag('commit'), flag('root'), indexFlag];
  const after = [flag('upload-route'), flag('associated-index-id')];
  return [[], [flag('indexer')]].map((indexer) => ({
    program: sandboxNode,
    args: [...before, ...indexer, ...after],
    env: {
      SRC_ENDPOINT: new RegExp(value),
      SRC_PROXY: proxyUrl,
      SRC_HEADER_AUTHORIZATION: new RegExp(value),
    },
    binds: [
      { target: sandboxNode, mode: 'ro', from: client.node },
      { target: scriptTarget, mode: 'ro', from: client.script },
      { target: workTarget, mode: 'ro', from: work },
    ],
  }));
}

/** Stores a file of the guest in the directory that the client will see. Errors: `artifact_…`. */
export async function storeIndex(directory: string, content: Readable): Promise<void> {
  await sharedDirectory(directory);
  const file = join(directory, indexName);
  await pipeline(content, createWriteStream(file, { flags: 'wx' }));
  await chmod(file, 0o640);
}

/**
 * Uploads the stored index with the `src` client. Like every program that reads a tenant's bytes, it runs under the Spawn profile.
 * It can reach one server, the upload proxy, and its credential is only in its environment. Errors: `upload_failed`, and
 * `instance_unreachable` and `lease_lost`, which do not make the job fail.
 */
export async function uploadIndex(
  deps: {
    readonly spawn: Spawn;
    readonly client: UploadClient;
    readonly instanceUrl: string;
    readonly executorName: string;
    /** Whether the instance leased the job by the native protocol. */
    readonly native: boolean;
    readonly log: PhaseLog;
    readonly stopped: AbortSignal;
  },
  job: Pick<Job, 'id' | 'repositoryName' | 'commit'>,
  upload: Upload,
  directory: string,
): Promise<void> {
  let lastStatus: number | null = 0;
  const proxy = await openUploadProxy(
    join(directory, socketName),
    deps.instanceUrl,
    { [jobIdHeader]: String(job.id), [executorNameHeader]: deps.executorName },
    (status) => {
      lastStatus = status;
    },
  );
  try {
    const process = await deps.spawn({
      label: 'src code-intel upload',
      program: sandboxNode,
      args: [scriptTarget, ...uploadArguments(job, upload)],
      env: {
        // The client connects to the socket and only shows this host name.
        SRC_ENDPOINT: `http://${new URL(deps.instanceUrl).host || 'localhost'}`,
        SRC_PROXY: proxyUrl,
        SRC_HEADER_AUTHORIZATION: upload.authorization,
      },
      binds: [
        { source: deps.client.node, target: sandboxNode, mode: 'ro' },
        { source: deps.client.script, target: scriptTarget, mode: 'ro' },
        { source: directory, target: workTarget, mode: 'ro' },
      ],
      limits: { memoryBytes: 0, timeMs: uploadMs },
    });
    const kill = () => process.kill();
    deps.stopped.addEventListener('abort', kill);
    process.stdin.end();
    let said = '';
    const write = async (stream: OutputStream) => {
      for await (const chunk of process[stream] as AsyncIterable<Buffer>) {
        if (stream === 'stderr') said = (said + chunk.toString('latin1')).slice(-quotedBytes);
        await deps.log.write(stream, chunk);
      }
    };
    await Promise.all([write('stdout'), write('stderr')]).catch(kill);
    const { code, timedOut } = await process.exited;
    deps.stopped.removeEventListener('abort', kill);
    deps.stopped.throwIfAborted();
    if (timedOut) throw uploadFailed(`it took more than ${uploadMs / 1000} s`);
    if (code !== 0) throw uploadError(code, lastStatus, deps.native, said);
  } finally {
    await proxy.close();
  }
}

/** Returns the error for a failed upload, by the last status that the client saw; null means that the instance was unreachable. */
function uploadError(
  code: number | null,
  status: number | null,
  native: boolean,
  said: string,
): FumehoodError {
  const action = 'upload an index';
  if (status === null) return instanceUnreachable(action, 'it did not answer');
  if (status === 408 || status === 429 || status >= 500)
    return instanceUnreachable(action, `it answered ${status}`);
  // An upstream instance uses one token for all executors, and it outlives every lease. There, 401 means a wrong token.
  if (status === 401 && native) return leaseLost('the instance does not know the token of the job any more');
  const reason = /^error: (.*)$/m.exec(Buffer.from(said, 'latin1').toString())?.[1];
  return uploadFailed(
    `\`src code-intel upload\` ended with ${code ?? 'a signal'}${reason ? `: ${reason}` : ''}`,
  );
}

function uploadArguments(
  { repositoryName, commit }: Pick<Job, 'repositoryName' | 'commit'>,
  { root, indexer, route, associatedIndexId }: Upload,
): string[] {
  return [
    ...uploadFlags,
    `-repo=${repositoryName}`,
    `-commit=${commit}`,
    `-root=${root}`,
    indexFlag,
    ...(indexer === null ? [] : [`-indexer=${indexer}`]),
    `-upload-route=${route}`,
    `-associated-index-id=${associatedIndexId}`,
  ];
}
