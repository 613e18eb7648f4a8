import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { WaitingAgent } from '../../packages/executor/src/testing/waiting-agent.ts';
import { openTestServer, type TestServer } from '../../packages/instance/src/db/testing.ts';
import { startTestInstance, type TestInstance } from '../../packages/instance/src/testing/instance.ts';

/** Tests how requests of people reach running jobs, with the real agent and the real instance, without a VM. */
let server: TestServer;
let instance: TestInstance;
let agent: WaitingAgent;

beforeAll(async () => {
  server = openTestServer();
  instance = await startTestInstance(await server.clone());
});
afterAll(async () => {
  await instance.stop();
  await server.stop();
});
beforeEach(() => {
  agent = new WaitingAgent(instance.url, instance.credential);
  return () => agent.stop();
});

const until = (what: () => Promise<void> | void) => vi.waitFor(what, { timeout: 60_000, interval: 20 });
/** Creates a job and waits until it runs. */
async function runningJob(): Promise<number> {
  const { id } = await instance.run();
  await until(() => expect([...agent.running]).toEqual([`${id} 1`]));
  return id;
}
const stateOf = async (id: number) =>
  ((await (await instance.api('GET', `/api/jobs/${id}`)).json()) as { state: string }).state;
const post = (path: string) => instance.api('POST', `/api/${path}`);
describe('a cancel', () => {
  test('stops the job through the push stream while no heartbeat is answered; the job ends with the next heartbeat', async () => {
    const id = await runningJob();
    await until(() =>
      expect(agent.answered).toContain('/.executors/queue/push?executorName=waiting&machine=here'),
    );
    agent.withheld = /heartbeat/;
    await post(`jobs/${id}/cancel`);
    await until(() => expect(agent.stopped).toEqual([{ job: `${id} 1`, code: 'canceled' }]));
    expect(await stateOf(id)).toBe('processing'); // the agent has not reported that the VM is gone
    agent.withheld = null;
    await until(async () => expect(await stateOf(id)).toBe('canceled'));
  });

  test('stops the job through the heartbeat while nothing is pushed', async () => {
    agent.withheld = /push/;
    const id = await runningJob();
    await post(`jobs/${id}/cancel`);
    await until(() => expect(agent.stopped).toEqual([{ job: `${id} 1`, code: 'canceled' }]));
    await until(async () => expect(await stateOf(id)).toBe('canceled'));
  });
});

test('a drain lets running jobs continue, and no job start until the executor is resumed', async () => {
  const id = await runningJob();
  await post('executors/waiting/drain');
  const waits = await instance.run();
  const waiting = await (await instance.api('GET', `/api/jobs/${waits.id}`)).json();
  expect(waiting).toMatchObject({ state: 'queued', waiting: { reason: 'executors_drain' } });
  expect([...agent.running]).toEqual([`${id} 1`]);
  await post('executors/waiting/resume');
  await until(() => expect(agent.running).toContain(`${waits.id} 1`));
  for (const job of [id, waits.id]) await post(`jobs/${job}/cancel`);
});
