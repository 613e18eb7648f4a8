import { request as httpRequest } from 'node:http';
import { sql } from 'kysely';
import type { Db } from '../db/connect.ts';

/** An answer to an upload. */
export interface UploadAnswer {
  readonly status: number;
  readonly text: string;
}

/** What a request of `src code-intel upload` sends. `undefined` leaves a header out. */
export interface UploadRequest {
  readonly method?: string;
  readonly authorization?: string | undefined;
  readonly type?: string | undefined;
  /** The header with the size before gzip. */
  readonly size?: string | undefined;
  readonly body?: Buffer | undefined;
}

/** Sends an index, or a part of one, as upstream's client does: in chunks, without a length. No redirect is followed. */
export function sendUpload(
  url: string,
  { method = 'POST', body = Buffer.alloc(0), authorization, size, ...rest }: UploadRequest,
): Promise<UploadAnswer> {
  const type = 'type' in rest ? rest.type : 'application/x-protobuf+scip';
  const headers = {
    'accept-encoding': 'gzip',
    ...(authorization !== undefined && { authorization }),
    ...(type !== undefined && { 'content-type': type }),
    ...(size !== undefined && { 'x-uncompressed-size': size }),
    ...(body.length === 0 && method === 'POST' && { 'content-length': '0' }),
  };
  return new Promise((resolve, reject) => {
    const request = httpRequest(url, { method, headers, agent: false }, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => void (text += chunk.toString()));
      response.on('error', reject);
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
    });
    request.on('error', reject);
    for (let at = 0; at < body.length; at += 10_000) request.write(body.subarray(at, at + 10_000));
    request.end();
  });
}

/** Returns of how many parts an upload was that came in parts and was finished; null: there was none. */
export async function partsOfFinished(db: Db, id: number): Promise<number | null> {
  const { rows } = await sql<{ parts: number }>`
    select parts from partial_uploads where id = ${id} and finished_at is not null
  `.execute(db);
  return rows[0]?.parts ?? null;
}
