import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { pipeline, type Readable } from 'node:stream';
import { type Clock, collect, factsOf } from '@fumehood/base';
import { instanceUnreachable, uploadRefused } from './errors.ts';
import type { Settings } from './settings.ts';

const attempts = 6;
const pauseMs = 1_000;
const answerMax = 65_536;

/** A request of an upload. */
export interface UploadRequest {
  /** From the root of the endpoint, with the query. */
  readonly path: string;
  /** The size of the index before gzip, bytes; null: the request does not say it. */
  readonly size: number | null;
  /** Returns the body, for each attempt anew; null: there is none. */
  readonly body: (() => Readable) | null;
}

/** An answer of success. */
export interface Answer {
  readonly status: number;
  readonly text: string;
}

/**
 * Sends a request until the instance does not fail (5xx), six times at most; a refusal is final. Errors: `upload_refused`,
 * `instance_unreachable`.
 */
export async function post(settings: Settings, request: UploadRequest, clock: Clock): Promise<Answer> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await postOnce(settings, request);
    } catch (error) {
      const { status } = factsOf(error);
      if (status === undefined || status < 500 || attempt === attempts) throw error;
      await clock.sleep(pauseMs);
    }
  }
}

/** The gzip of a body is the format of the payload, not a content coding. */
function postOnce(settings: Settings, { path, size, body }: UploadRequest): Promise<Answer> {
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
        ...(size !== null && { 'x-uncompressed-size': String(size) }),
        ...headers,
      },
    });
    request.on('response', (response) => {
      const { statusCode: status = 0 } = response;
      collect(response, answerMax)
        .then((bytes) => {
          const text = bytes.toString();
          if (status < 200 || status >= 300) throw uploadRefused(status, text);
          resolve({ status, text });
        })
        .catch(reject);
    });
    request.on('error', (error) => reject(instanceUnreachable(endpoint.origin, error.message)));
    if (body === null) request.end();
    else
      pipeline(body(), request, (error) => {
        // An early answer closes the stream; other errors are reported by the request.
        if (error) request.destroy(error);
      });
  });
}
