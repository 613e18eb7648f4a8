import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { normalize } from 'node:path/posix';
import { pipeline } from 'node:stream';
import { createGzip } from 'node:zlib';
import { type Clock, collect, factsOf } from '@fumehood/base';
import { readIndex } from '@fumehood/scip';
import { fileUnreadable, instanceUnreachable, settingsInvalid, uploadRefused } from './errors.ts';
import type { Settings } from './settings.ts';

/** An index to upload, and the commit it belongs to. */
export interface Upload {
  readonly file: string;
  readonly repository: string;
  readonly commit: string;
  /** Directory of the indexed project in the repository, in any spelling. */
  readonly root: string;
  /** Null: taken from the index. */
  readonly indexer: string | null;
  readonly indexerVersion: string | null;
  /** -1 if there is none. */
  readonly associatedIndexId: number;
  readonly route: string;
}

/** An index that the instance has accepted. */
export interface Uploaded {
  readonly id: number;
  readonly indexer: string;
  readonly indexerVersion: string;
  readonly root: string;
}

const attempts = 6;
const pauseMs = 1_000;
const answerMax = 65_536;

/**
 * Uploads an index in one request, which it gzips as a stream. It retries when the instance fails (5xx); a refusal is final. Errors:
 * `file_unreadable`, `index_invalid`, `settings_invalid`, `upload_refused`, `instance_unreachable`.
 */
export async function sendIndex(settings: Settings, upload: Upload, clock: Clock): Promise<Uploaded> {
  const root = normalizeRoot(upload.root);
  const is = await stat(upload.file).catch((error: NodeJS.ErrnoException) => {
    throw fileUnreadable(upload.file, error.code ?? error.message);
  });
  if (!is.isFile()) throw fileUnreadable(upload.file, 'it is not a file');
  const tool = await toolOf(upload);
  const query = queryOf(upload, root, tool);
  for (let attempt = 1; ; attempt++) {
    try {
      const id = await post(settings, `${upload.route}?${query}`, upload.file, is.size);
      return { id, root, ...tool };
    } catch (error) {
      const { status } = factsOf(error);
      if (status === undefined || status < 500 || attempt === attempts) throw error;
      await clock.sleep(pauseMs);
    }
  }
}

/** Returns the root as servers compare it: without dots and outer slashes, empty for the repository itself. */
function normalizeRoot(root: string): string {
  const clean = normalize(`./${root}`).replace(/\/$/, '');
  if (root.startsWith('/') || clean === '..' || clean.startsWith('../'))
    throw settingsInvalid(
      `the root ${root} is not in the repository`,
      'Give -root as a path relative to the root of the repository.',
    );
  return clean === '.' ? '' : clean;
}

/** Returns the indexer's name and version. It reads the index even when both are given, so that only an index is sent. */
async function toolOf(upload: Upload): Promise<Pick<Uploaded, 'indexer' | 'indexerVersion'>> {
  for await (const part of readIndex(createReadStream(upload.file, { highWaterMark: 1 << 20 }))) {
    if (part.kind !== 'metadata') continue;
    const { name = '', version = '' } = part.metadata.toolInfo ?? {};
    return { indexer: upload.indexer ?? name, indexerVersion: upload.indexerVersion ?? version };
  }
  throw new TypeError('an index without metadata was read to its end');
}

function queryOf(upload: Upload, root: string, tool: Pick<Uploaded, 'indexer' | 'indexerVersion'>): string {
  const query = new URLSearchParams();
  const add = (name: string, value: string) => {
    if (value !== '') query.set(name, value);
  };
  if (upload.associatedIndexId !== -1) add('associatedIndexId', String(upload.associatedIndexId));
  add('commit', upload.commit);
  add('indexerName', tool.indexer);
  add('indexerVersion', tool.indexerVersion);
  add('repository', upload.repository);
  add('root', root);
  return query.toString();
}

/** Sends one request and resolves with the upload's id. The gzip is the format of the payload, not a content coding. */
function post(settings: Settings, path: string, file: string, bytes: number): Promise<number> {
  const { endpoint, headers, socketPath } = settings;
  const send = endpoint.protocol === 'https:' ? requestHttps : requestHttp;
  const base = endpoint.pathname.replace(/\/$/, '');
  return new Promise((resolve, reject) => {
    const request = send({
      method: 'POST',
      hostname: endpoint.hostname,
      port: endpoint.port || undefined,
      path: `${base}${path}`,
      ...(socketPath !== null && { socketPath }),
      headers: {
        host: endpoint.host,
        'user-agent': 'fumehood-src',
        'content-type': 'application/x-protobuf+scip',
        'x-uncompressed-size': String(bytes),
        ...headers,
      },
    });
    request.on('response', (response) => {
      collect(response, answerMax)
        .then((body) => resolve(idOf(response.statusCode ?? 0, body.toString())))
        .catch(reject);
    });
    request.on('error', (error) => reject(instanceUnreachable(endpoint.origin, error.message)));
    pipeline(createReadStream(file, { highWaterMark: 1 << 20 }), createGzip(), request, (error) => {
      // An early answer closes the stream; other errors are reported by the request.
      if (error) request.destroy(error);
    });
  });
}

function idOf(status: number, body: string): number {
  if (status < 200 || status >= 300) throw uploadRefused(status, body);
  try {
    const { id } = JSON.parse(body) as { id?: unknown };
    if (typeof id === 'string' && /^[1-9]\d{0,14}$/.test(id)) return Number(id);
  } catch {
    // reported below
  }
  throw uploadRefused(status, body);
}
