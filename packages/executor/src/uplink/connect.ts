import { type Clock, factsOf } from '@fumehood/base';
import { type HeartbeatRequest, type QueueName, upstreamVersion } from '@fumehood/protocol';
import { credentialRefused } from '../errors.ts';
import { reportChanges, withRemedy } from '../log.ts';
import { withCredential } from './credential.ts';
import { expectStatus, type Http, readBody } from './http.ts';
import { negotiateVersion } from './negotiate-version.ts';
import type { ExecutorIdentity } from './queue.ts';

/** Time between two attempts to connect, in ms. */
const pauseMs = 1_000;

/** The executor that connects. `queues` is a list for the routes of several queues, or a name for the routes of one queue. */
export interface Connection {
  readonly http: Http;
  readonly executor: ExecutorIdentity;
  readonly queues: QueueName[] | QueueName;
}

/**
 * Waits until the instance accepts the executor: tries once a second, as upstream's executors do when they start, and reports
 * each new problem to `onTrouble`. Resolves with whether the instance speaks the native protocol. Rejects with the signal's
 * reason.
 */
export async function connect(
  connection: Connection,
  clock: Clock,
  signal: AbortSignal,
  onTrouble: (message: string) => void,
): Promise<{ readonly native: boolean }> {
  const report = reportChanges(onTrouble);
  for (;;) {
    try {
      await checkCredential(connection, signal);
      return await sendFirstHeartbeat(connection, signal);
    } catch (error) {
      signal.throwIfAborted();
      report(withRemedy(factsOf(error)));
    }
    await clock.sleep(pauseMs, signal);
  }
}

/** Errors: `credential_refused`, `instance_unreachable`, `instance_refused`. */
async function checkCredential({ http, executor }: Connection, signal: AbortSignal): Promise<void> {
  const action = 'check the credential';
  const send = withCredential(http, executor.credential);
  const response = await send({ method: 'GET', path: '/.executors/test/auth', signal, action });
  if (response.status === 401) throw credentialRefused(await readBody(response, action));
  await expectStatus(response, [200], action);
}

/** Sends a heartbeat that names the executor, without jobs, and learns from the answer which protocol the instance speaks. */
async function sendFirstHeartbeat(
  { http, executor, queues }: Connection,
  signal: AbortSignal,
): Promise<{ native: boolean }> {
  const action = 'send the first heartbeat';
  const body: HeartbeatRequest = {
    executorName: executor.name,
    ...(Array.isArray(queues) && { queueNames: queues }),
    fumehood: { tiers: [...executor.tiers], machine: executor.machine },
  };
  const { http: negotiating, version } = negotiateVersion(http);
  const send = withCredential(negotiating, executor.credential);
  const response = await send({
    method: 'POST',
    path: `/.executors/queue/${Array.isArray(queues) ? '' : `${queues}/`}heartbeat`,
    body: JSON.stringify(body),
    signal,
    action,
  });
  await expectStatus(response, [200], action);
  return { native: version() !== upstreamVersion };
}
