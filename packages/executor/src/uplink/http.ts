import { collect } from '@fumehood/base';
import { instanceRefused, instanceUnreachable, instanceUntrusted, leaseLost } from '../errors.ts';

export interface HttpRequest {
  readonly method: 'GET' | 'HEAD' | 'POST';
  /** Below the instance's URL, with its query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array<ArrayBuffer>;
  readonly signal?: AbortSignal | undefined;
  /** For errors, after "to": `renew leases`. */
  readonly what: string;
}

/** One request to the instance. Errors: `instance_unreachable` when no answer came; the signal's reason when aborted. */
export type Http = (request: HttpRequest) => Promise<Response>;

/** Requests to this instance and to no other: redirects are not followed. */
export function openHttp(instanceUrl: string): Http {
  const base = instanceUrl.replace(/\/+$/, '');
  return async ({ method, path, headers, body, signal, what }) => {
    try {
      return await fetch(`${base}${path}`, {
        method,
        redirect: 'manual',
        headers,
        ...(body !== undefined && { body }),
        ...(signal && { signal }),
      });
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      if (isUntrusted(error)) throw instanceUntrusted(what, reasonOf(error));
      throw instanceUnreachable(what, reasonOf(error));
    }
  };
}

/** OpenSSL's codes, and Node's for a name that is not the certificate's. */
function isUntrusted(error: unknown): boolean {
  return /CERT|UNABLE_TO_VERIFY/.test(innermost(error).code ?? '');
}

/** The words of a failed fetch lie in its cause, those of a proxy in the cause of that. */
export function reasonOf(error: unknown): string {
  const { message, code } = innermost(error);
  return message || code || (error as Error).message;
}

function innermost(error: unknown): NodeJS.ErrnoException {
  const { cause } = error as Error;
  return cause instanceof Error ? innermost(cause) : (error as Error);
}

/** Largest JSON answer of the instance that is read. */
const answerMax = 16 * 2 ** 20;

/** The body of an answer, bounded. Errors: `instance_unreachable` when it breaks off. */
export async function bodyOf(response: Response, what: string): Promise<string> {
  if (!response.body) return '';
  try {
    return (await collect(response.body, answerMax)).toString('utf8');
  } catch (error) {
    throw instanceUnreachable(what, reasonOf(error));
  }
}

/**
 * The answer's text if its status is one of `good`. Errors: `lease_lost` when a job route says that the job is not ours,
 * `instance_unreachable` when the instance cannot now, `instance_refused`.
 */
export async function expectStatus(
  response: Response,
  good: readonly number[],
  what: string,
): Promise<string> {
  const text = await bodyOf(response, what);
  if (good.includes(response.status)) return text;
  // Upstream answers 500 when the fence refuses a write.
  if (text.includes('"unknown job"')) throw leaseLost('the instance does not know it any more');
  if (response.status === 429 || response.status >= 500)
    throw instanceUnreachable(what, `${response.status} ${text.slice(0, 200)}`);
  throw instanceRefused(what, response.status, text);
}

interface Schema<T> {
  safeParse(value: unknown): { success: true; data: T } | { success: false; error: { message: string } };
}

/** An answer of JSON, checked. Errors: `instance_refused`. */
export function parseAnswer<T>(schema: Schema<T>, text: string, what: string): T {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw instanceRefused(what, 200, 'its answer is not JSON');
  }
  const parsed = schema.safeParse(value);
  // The answer may hold a job's token: only what is wrong with it is said.
  if (!parsed.success)
    throw instanceRefused(what, 200, `its answer has another form: ${parsed.error.message}`);
  return parsed.data;
}
