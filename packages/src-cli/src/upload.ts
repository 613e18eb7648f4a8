import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { normalize } from 'node:path/posix';
import { Readable } from 'node:stream';
import type { Clock } from '@fumehood/base';
import { readIndex } from '@fumehood/scip';
import { fileUnreadable, settingsInvalid, uploadRefused } from './errors.ts';
import { packed, packedSize, slicesOf } from './packed.ts';
import { type Answer, post } from './request.ts';
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
  /** A gzipped index with more bytes is sent in parts of this size. */
  readonly maxPayloadBytes: number;
  /** How many parts are on their way at once; each is in memory. */
  readonly maxConcurrency: number;
}

/** An index that the instance has accepted. */
export interface Uploaded {
  readonly id: number;
  readonly indexer: string;
  readonly indexerVersion: string;
  readonly root: string;
}

/**
 * Uploads an index, which it gzips as a stream, in one request or, when it is large, in parts. It retries when the instance fails (5xx); a refusal
 * is final. Errors: `file_unreadable`, `index_invalid`, `settings_invalid`, `upload_refused`, `instance_unreachable`.
 */
export async function sendIndex(settings: Settings, upload: Upload, clock: Clock): Promise<Uploaded> {
  const root = normalizeRoot(upload.root);
  const { file, maxPayloadBytes } = upload;
  const is = await stat(file).catch((error: NodeJS.ErrnoException) => {
    throw fileUnreadable(file, error.code ?? error.message);
  });
  if (!is.isFile()) throw fileUnreadable(file, 'it is not a file');
  const tool = await toolOf(upload);
  const send: Send = (changes, size, body) => {
    const query = queryOf(upload, root, tool);
    for (const [name, value] of Object.entries(changes)) query.set(name, value);
    query.sort();
    return post(settings, { path: `${upload.route}?${query.toString()}`, size, body }, clock);
  };
  // Gzip makes hardly any file larger.
  const bytes = is.size <= maxPayloadBytes ? 0 : await packedSize(file);
  const id =
    bytes <= maxPayloadBytes
      ? idOf(await send({}, is.size, () => packed(file)))
      : await sendParts(upload, send, is.size, Math.ceil(bytes / maxPayloadBytes));
  return { id, root, ...tool };
}

/** Sends a request of an upload, whose query has these parameters, too. */
type Send = (
  changes: Readonly<Record<string, string>>,
  size: number | null,
  body: (() => Readable) | null,
) => Promise<Answer>;

/** Sends the gzipped index in parts; returns the upload's id. Once a part is refused, no other one is begun. */
async function sendParts(
  { file, maxPayloadBytes, maxConcurrency }: Upload,
  send: Send,
  size: number,
  count: number,
): Promise<number> {
  const id = idOf(await send({ multiPart: 'true', numParts: String(count) }, size, null));
  const slices = slicesOf(file, maxPayloadBytes);
  const uploadId = String(id);
  const sendSlices = async () => {
    for await (const { index, bytes } of { [Symbol.asyncIterator]: () => ({ next: () => slices.next() }) })
      await send({ uploadId, index: String(index) }, null, () => Readable.from([bytes]));
  };
  const senders = Array.from({ length: Math.min(maxConcurrency, count) }, sendSlices);
  try {
    await Promise.all(senders);
  } catch (error) {
    await slices.return(undefined);
    await Promise.allSettled(senders);
    throw error;
  }
  await send({ uploadId, done: 'true' }, null, null);
  return id;
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

function queryOf(
  upload: Upload,
  root: string,
  tool: Pick<Uploaded, 'indexer' | 'indexerVersion'>,
): URLSearchParams {
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
  return query;
}

function idOf({ status, text }: Answer): number {
  try {
    const { id } = JSON.parse(text) as { id?: unknown };
    if (typeof id === 'string' && /^[1-9]\d{0,14}$/.test(id)) return Number(id);
  } catch {
    // reported below
  }
  throw uploadRefused(status, text);
}
