import { type Clock, factsOf } from '@glovebox/base';
import { type HeartbeatRequest, protocolHeader, protocolVersion, type QueueName } from '@glovebox/protocol';
import { credentialRefused } from '../errors.ts';
import { askAsExecutor } from './credential.ts';
import { bodyOf, expectStatus, type Http } from './http.ts';
import type { ExecutorIdentity } from './queue.ts';

const pauseMs = 1_000;

/** Where and as whom an executor asks: for several queues, or on the routes of one. */
export interface Caller {
  readonly http: Http;
  readonly executor: ExecutorIdentity;
  readonly queues: QueueName[] | QueueName;
}

/**
 * Asks for the instance each second until it can be reached, as upstream's executors do when they start. Resolves with whether
 * it speaks our part of the protocol. Errors: `credential_refused`, `instance_refused`, and the signal's reason.
 */
export async function connect(
  caller: Caller,
  clock: Clock,
  signal: AbortSignal,
  onTrouble: (message: string) => void,
): Promise<{ readonly native: boolean }> {
  for (;;) {
    try {
      await checkCredential(caller, signal);
      return await ping(caller, signal);
    } catch (error) {
      signal.throwIfAborted();
      const { code, message } = factsOf(error);
      if (code !== 'instance_unreachable') throw error;
      onTrouble(message);
    }
    await clock.sleep(pauseMs, signal);
  }
}

/** Errors: `credential_refused`, `instance_unreachable`, `instance_refused`. */
async function checkCredential({ http, executor }: Caller, signal: AbortSignal): Promise<void> {
  const what = 'check the credential';
  const request = { method: 'GET', path: '/.executors/test/auth', signal, what } as const;
  const response = await askAsExecutor(http, executor.credential, request);
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
  const response = await askAsExecutor(http, executor.credential, {
    method: 'POST',
    path: `/.executors/queue/${Array.isArray(queues) ? '' : `${queues}/`}heartbeat`,
    body: JSON.stringify(body),
    signal,
    what,
  });
  await expectStatus(response, [200], what);
  return { native: response.headers.get(protocolHeader) === protocolVersion };
}
