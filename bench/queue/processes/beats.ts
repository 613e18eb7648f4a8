import { Agent, request } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';

export interface BeatsOrder {
  readonly url: string;
  readonly credential: string;
  /** The job that each executor runs; executor `eN` is at place N. */
  readonly jobIds: readonly number[];
  readonly periodMs: number;
  /** Beats before this long are sent, and not counted. */
  readonly warmUpMs: number;
  readonly measureMs: number;
}

export interface BeatsAnswer {
  readonly answered: number;
  /** Beats that could not be sent because the one before, a whole period ago, had no answer yet. */
  readonly missed: number;
  /** Answers that were no 200 or did not come, and broken connections. */
  readonly failed: number;
  /** Answers that no longer named the executor's job: its lease had run out. */
  readonly lost: number;
  /** Of all answers, from the moment when the beat was due. */
  readonly times: readonly number[];
  /** How late this process itself was at worst in sending one. */
  readonly latestMs: number;
}

/** A beat without an answer after this has failed. */
const patienceMs = 15_000;

process.on('SIGINT', () => {});
process.once('disconnect', () => process.exit());
process.once('message', (order: BeatsOrder) => void beats(order).then((answer) => process.send?.(answer)));

async function beats(order: BeatsOrder): Promise<BeatsAnswer> {
  const { jobIds, periodMs, warmUpMs, measureMs } = order;
  const start = performance.now();
  const from = start + warmUpMs;
  const until = from + measureMs;
  const count = { answered: 0, missed: 0, failed: 0, lost: 0 };
  const times: number[] = [];
  let latestMs = 0;
  const executor = async (place: number, jobId: number) => {
    // A connection of its own, as a machine elsewhere has.
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    let due = start + (place / jobIds.length) * periodMs;
    while (due < until) {
      await delay(Math.max(0, due - performance.now()));
      const counts = due >= from;
      if (counts) latestMs = Math.max(latestMs, performance.now() - due);
      const known = await beat(order, agent, `e${place}`, jobId).catch(() => null);
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

/** One heartbeat as upstream's executors send it; whether its job is still its own. */
async function beat(order: BeatsOrder, agent: Agent, executorName: string, jobId: number): Promise<boolean> {
  const body = JSON.stringify({
    executorName,
    version: '5.0.0',
    queueNames: ['runs'],
    jobIdsByQueue: [{ queueName: 'runs', jobIds: [String(jobId)] }],
    os: 'linux',
    architecture: 'amd64',
    executorVersion: '5.0.0',
  });
  const { status, text } = await new Promise<{ status: number; text: string }>((resolve, reject) => {
    const sent = request(
      `${order.url}/.executors/queue/heartbeat`,
      {
        method: 'POST',
        agent,
        signal: AbortSignal.timeout(patienceMs),
        headers: {
          authorization: `token-executor ${order.credential}`,
          'content-type': 'application/json',
          'content-length': Buffer.byteLength(body),
        },
      },
      (answer) => {
        let text = '';
        answer.setEncoding('utf8');
        answer.on('data', (part: string) => {
          text += part;
        });
        answer.on('end', () => resolve({ status: answer.statusCode ?? 0, text }));
        answer.on('error', reject);
      },
    );
    sent.on('error', reject);
    sent.end(body);
  });
  if (status !== 200) throw new Error(`${status} ${text}`);
  return ((JSON.parse(text) as { knownIds: string[] | null }).knownIds ?? []).length === 1;
}
