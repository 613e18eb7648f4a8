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

/** An index and what it is of. */
export interface Upload {
  readonly file: string;
  readonly repository: string;
  readonly commit: string;
  /** Of the project in the repository; any spelling of it. */
  readonly root: string;
  /** Null: as the index says. */
  readonly indexer: string | null;
  readonly indexerVersion: string | null;
  /** -1: none. */
  readonly associatedIndexId: number;
  readonly route: string;
}

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
 * Sends an index in one request, gzipped as it streams. An instance's own trouble (5xx) is tried again; a refusal is final. Errors:
 * `file_unreadable`, `index_invalid`, `settings_invalid`, `upload_refused`, `instance_unreachable`.
 */
export async function sendIndex(settings: Settings, upload: Upload, clock: Clock): Promise<Uploaded> {
  const root = cleanRoot(upload.root);
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

/** The root as servers compare it: no dots, no slash at its ends, empty for the repository itself. */
function cleanRoot(root: string): string {
  const clean = normalize(`./${root}`).replace(/\/$/, '');
  if (root.startsWith('/') || clean === '..' || clean.startsWith('../'))
    throw settingsInvalid(`the root ${root} is not in the repository`, 'Give -root as a path from its top.');
  return clean === '.' ? '' : clean;
}

/** What made the index. It is asked even when everything is given: what is no index is not sent. */
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

/** One request; its body's gzip is the format of the payload, not a coding of the transfer. */
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
      // An early answer closes the stream; whatever else is wrong shows in the request.
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
    // told below
  }
  throw uploadRefused(status, body);
}
