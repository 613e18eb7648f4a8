import { Agent, request } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { heartbeatResponseSchema } from '@fumehood/protocol';
import { executorClient, type Send } from '../../../packages/instance/src/testing/executor-client.ts';

/** What the process has to send. */
export interface HeartbeatPlan {
  readonly url: string;
  readonly credential: string;
  /** The job of each executor; executor `eN` is at index N. */
  readonly jobIds: readonly number[];
  readonly periodMs: number;
  /** Heartbeats are sent, but not counted, for this long. */
  readonly warmUpMs: number;
  readonly measureMs: number;
}

/** What the process measured. */
export interface HeartbeatFigures {
  readonly answered: number;
  /** Heartbeats that were not sent because the previous one, a whole period ago, had no answer yet. */
  readonly missed: number;
  /** Answers other than 200, missing answers, and broken connections. */
  readonly failed: number;
  /** Answers that did not name the executor's job, because its lease had run out. */
  readonly lost: number;
  /** The latency of each answer, from the moment at which its heartbeat was due, ms. */
  readonly times: readonly number[];
  /** The largest delay of this process itself in sending a heartbeat, ms. */
  readonly latestMs: number;
}

/** Time after which a heartbeat without an answer has failed. */
const patienceMs = 15_000;

process.on('SIGINT', () => {});
process.once('disconnect', () => process.exit());
process.once(
  'message',
  (plan: HeartbeatPlan) => void sendAll(plan).then((figures) => process.send?.(figures)),
);

/** Sends the heartbeats of all executors. */
async function sendAll(plan: HeartbeatPlan): Promise<HeartbeatFigures> {
  const { jobIds, periodMs, warmUpMs, measureMs } = plan;
  const start = performance.now();
  const from = start + warmUpMs;
  const until = from + measureMs;
  const count = { answered: 0, missed: 0, failed: 0, lost: 0 };
  const times: number[] = [];
  let latestMs = 0;
  const executor = async (place: number, jobId: number) => {
    // Each executor has its own connection, as on its own machine.
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    let due = start + (place / jobIds.length) * periodMs;
    while (due < until) {
      await delay(Math.max(0, due - performance.now()));
      const counts = due >= from;
      if (counts) latestMs = Math.max(latestMs, performance.now() - due);
      const known = await sendHeartbeat(plan, agent, `e${place}`, jobId).catch(() => null);
      const took = performance.now() - due;
      if (counts) {
        if (known === null) count.failed += 1;
        else {
          count.answered += 1;
          if (!known) count.lost += 1;
          times.push(took);
        }
      }
      due += periodMs;
      for (; due < performance.now(); due += periodMs) if (due >= from && due < until) count.missed += 1;
    }
    agent.destroy();
  };
  await Promise.all(jobIds.map((jobId, place) => executor(place, jobId)));
  return { ...count, times, latestMs };
}

/** Sends one heartbeat as upstream's executors do, and returns whether the job is still the executor's own. */
async function sendHeartbeat(
  plan: HeartbeatPlan,
  agent: Agent,
  name: string,
  jobId: number,
): Promise<boolean> {
  const { url, credential } = plan;
  const executor = executorClient({ url, credential, name, protocol: null, send: sendBy(agent) });
  const answer = await executor.heartbeat({
    version: '5.0.0',
    queueNames: ['runs'],
    jobIdsByQueue: [{ queueName: 'runs', jobIds: [String(jobId)] }],
    os: 'linux',
    architecture: 'amd64',
    executorVersion: '5.0.0',
  });
  if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`);
  return heartbeatResponseSchema.parse(await answer.json()).knownIds?.length === 1;
}

/** Returns a `send` of the executor client that uses the connections of `agent`. */
const sendBy =
  (agent: Agent): Send =>
  (url, { method, headers, body }) =>
    new Promise((resolve, reject) => {
      const content = body as string;
      const sent = request(
        url,
        {
          method,
          agent,
          signal: AbortSignal.timeout(patienceMs),
          headers: { ...(headers as Record<string, string>), 'content-length': Buffer.byteLength(content) },
        },
        (answer) => {
          let text = '';
          answer.setEncoding('utf8');
          answer.on('data', (part: string) => {
            text += part;
          });
          answer.on('end', () => resolve(new Response(text, { status: answer.statusCode ?? 0 })));
          answer.on('error', reject);
        },
      );
      sent.on('error', reject);
      sent.end(content);
    });
