import { protocolHeader, protocolVersion } from '@fumehood/protocol';
import { type Http, readBody } from './http.ts';

/** What the answer to one request shows of an instance and of this machine. */
export interface InstanceFacts {
  /** Null if the credential is accepted, else what the instance says about it. */
  readonly refusal: string | null;
  /** How far the clock of this machine is ahead of the instance's, ms, to about a second; null if the answer has no time. */
  readonly aheadMs: number | null;
  /** The version of the native protocol as the instance says it; null: it is of upstream's kind. */
  readonly protocol: string | null;
}

/** How long the answer may take, ms. */
const patienceMs = 10_000;

/**
 * Asks an instance whether it accepts a credential of executors. `now` returns the time of this machine, ms since 1970. Errors:
 * `instance_unreachable`, also for an answer that no instance gives.
 */
export async function examineInstance(
  http: Http,
  credential: string,
  now: () => number,
): Promise<InstanceFacts> {
  const action = 'check the credential';
  const response = await http({
    method: 'GET',
    path: '/.executors/test/auth',
    headers: { authorization: `token-executor ${credential}`, [protocolHeader]: String(protocolVersion) },
    signal: AbortSignal.timeout(patienceMs),
    action,
  });
  const date = Date.parse(response.headers.get('date') ?? '');
  const text = (await readBody(response, action)).slice(0, 200).trim();
  return {
    refusal: response.status === 200 ? null : `${response.status} ${text}`.trim(),
    // The instance cuts its time to whole seconds.
    aheadMs: Number.isNaN(date) ? null : Math.round(now() - date - 500),
    protocol: response.headers.get(protocolHeader),
  };
}
