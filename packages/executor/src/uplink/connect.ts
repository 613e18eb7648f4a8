import { type Clock, factsOf } from '@fumehood/base';
import { type HeartbeatRequest, type QueueName, upstreamVersion } from '@fumehood/protocol';
import { credentialRefused } from '../errors.ts';
import { onChange, tellOf } from '../log.ts';
import { asExecutor } from './credential.ts';
import { bodyOf, expectStatus, type Http } from './http.ts';
import { negotiated } from './negotiate-version.ts';
import type { ExecutorIdentity } from './queue.ts';

const pauseMs = 1_000;

/** Where and as whom an executor asks: for several queues, or on the routes of one. */
export interface Caller {
  readonly http: Http;
  readonly executor: ExecutorIdentity;
  readonly queues: QueueName[] | QueueName;
}

/**
 * Asks for the instance each second until it takes us, as upstream's executors do when they start; what stands in the way is said
 * when it changes. Resolves with whether it speaks our part of the protocol. Errors: the signal's reason.
 */
export async function connect(
  caller: Caller,
  clock: Clock,
  signal: AbortSignal,
  onTrouble: (message: string) => void,
): Promise<{ readonly native: boolean }> {
  const say = onChange(onTrouble);
  for (;;) {
    try {
      await checkCredential(caller, signal);
      return await ping(caller, signal);
    } catch (error) {
      signal.throwIfAborted();
      say(tellOf(factsOf(error)));
    }
    await clock.sleep(pauseMs, signal);
  }
}

/** Errors: `credential_refused`, `instance_unreachable`, `instance_refused`. */
async function checkCredential({ http, executor }: Caller, signal: AbortSignal): Promise<void> {
  const what = 'check the credential';
  const ask = asExecutor(http, executor.credential);
  const response = await ask({ method: 'GET', path: '/.executors/test/auth', signal, what });
  if (response.status === 401) throw credentialRefused(await bodyOf(response, what));
  await expectStatus(response, [200], what);
}

/** A heartbeat of an executor that says no more than its name. */
async function ping({ http, executor, queues }: Caller, signal: AbortSignal): Promise<{ native: boolean }> {
  const what = 'say that it is there';
  const body: HeartbeatRequest = {
    executorName: executor.name,
    ...(Array.isArray(queues) && { queueNames: queues }),
  };
  const { http: negotiating, version } = negotiated(http);
  const response = await asExecutor(
    negotiating,
    executor.credential,
  )({
    method: 'POST',
    path: `/.executors/queue/${Array.isArray(queues) ? '' : `${queues}/`}heartbeat`,
    body: JSON.stringify(body),
    signal,
    what,
  });
  await expectStatus(response, [200], what);
  return { native: version() !== upstreamVersion };
}
