import type { Readable } from 'node:stream';
import { type Answer, FumehoodError, openFetch } from '@fumehood/base';
import { apiErrorSchema, tokenScheme } from '@fumehood/protocol';
import type { z } from 'zod';
import {
  answerUnknown,
  certificateUntrusted,
  instanceUnreachable,
  schemeWrong,
  tokenRefused,
} from './errors.ts';

/** How to reach an instance. */
export interface ClientOptions {
  /** URL of the instance; `unix:` and the path of its socket for one on this machine. */
  readonly url: string;
  /** Access token of the instance. */
  readonly token: string;
}

/** A request to the instance; its body is `json` or `bytes`. */
export interface Request {
  readonly method: 'DELETE' | 'GET' | 'HEAD' | 'POST' | 'PUT';
  /** Path below the URL of the instance, with its query. */
  readonly path: string;
  readonly json?: unknown;
  readonly bytes?: Readable | Uint8Array<ArrayBuffer>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal | undefined;
}

/** Sends authorized requests to one instance. */
export interface Http {
  readonly url: string;
  /**
   * Sends a request and returns a successful response. Errors: `instance_unreachable`, `certificate_untrusted`, `scheme_wrong`,
   * `unauthorized`, `instance_refused`, those of the instance.
   */
  send(request: Request): Promise<Answer>;
  /** Sends a request and returns the parsed JSON of its response. Errors: those of `send`, and `answer_unknown`. */
  ask<S extends z.ZodType>(schema: S, request: Request): Promise<z.output<S>>;
}

/** Makes an HTTP client for one instance. It does not follow redirects, so the token goes nowhere else. */
export function openHttp({ url, token }: ClientOptions): Http {
  const base = url.replace(/\/+$/, '');
  const fetchFrom = openFetch(base);
  const send: Http['send'] = async (request) => {
    const { method, path, json, bytes, headers, signal } = request;
    const body = json === undefined ? bytes : JSON.stringify(json);
    const type = json === undefined ? 'application/octet-stream' : 'application/json';
    let response: Answer;
    try {
      response = await fetchFrom({
        ...{ method, path, body, signal },
        headers: {
          authorization: `${tokenScheme} ${token}`,
          ...(body !== undefined && { 'content-type': type }),
          ...headers,
        },
      });
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      if (error instanceof FumehoodError) throw error;
      const { cause, message } = error as Error;
      if (cause instanceof FumehoodError) throw cause; // of the stream that is sent, such as a pack that git cannot finish
      throw networkError(base, cause instanceof Error ? cause : (error as Error), message);
    }
    if (response.ok) return response;
    throw await errorOf(base, request, response);
  };
  return {
    url: base,
    send,
    async ask(schema, request) {
      const response = await send(request);
      const parsed = schema.safeParse(await response.json().catch(() => null));
      if (!parsed.success) throw answerUnknown(base, request.path, parsed.error.message);
      return parsed.data;
    },
  };
}

/** What OpenSSL and Node call a certificate that they do not trust, or that is for another name. */
const untrusted =
  /^(CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|HOSTNAME_MISMATCH|INVALID_CA|INVALID_PURPOSE|ERR_TLS_CERT_)/;
/** What they call the first bytes of another protocol. */
const wrongProtocol =
  /^(HTTPParserError|ERR_SSL_(WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|UNEXPECTED_MESSAGE))$/;

/**
 * Returns the error of a request that got no answer. An error of OpenSSL has a short `reason`; one of an address that stands for several
 * has no message.
 */
function networkError(
  url: string,
  error: NodeJS.ErrnoException & { readonly reason?: string },
  otherwise: string,
): FumehoodError {
  const { name, code = name, reason, message } = error;
  const why = reason || message || code || otherwise;
  if (untrusted.test(code)) return certificateUntrusted(url, why);
  return wrongProtocol.test(code) ? schemeWrong(url, why) : instanceUnreachable(url, why);
}

/** Returns the error that the instance reports in a response, or `instance_refused` if the response has none. */
async function errorOf(url: string, request: Request, response: Answer): Promise<FumehoodError> {
  const text = await response.text().catch(() => '');
  if (response.status === 401) return tokenRefused(url);
  try {
    const { error } = apiErrorSchema.parse(JSON.parse(text));
    return new FumehoodError({ ...error, status: response.status });
  } catch {
    const { method, path } = request;
    return new FumehoodError({
      code: 'instance_refused',
      status: response.status,
      message: `the instance at ${url} answered ${response.status} to ${method} ${path}`,
    });
  }
}

/** Returns the query of a request: the fields that have a value. */
export function queryOf(fields: object): string {
  const given = Object.entries(fields).filter(([, value]) => value !== undefined);
  return new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
}

/** Returns a path, such as the name of a repository, with each part encoded for a URL. */
export const encodePath = (path: string): string => path.split('/').map(encodeURIComponent).join('/');
