import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { WaitingAgent } from '../../packages/executor/src/testing/waiting-agent.ts';
import { startTestServer, type TestServer } from '../../packages/instance/src/db/testing.ts';
import { startTestInstance, type TestInstance } from '../../packages/instance/src/testing/instance.ts';

/** The agent and the instance together, without a VM: how what people ask for reaches what runs. */
let server: TestServer;
let instance: TestInstance;
let agent: WaitingAgent;

beforeAll(async () => {
  server = await startTestServer();
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
async function running(): Promise<number> {
  const { id } = await instance.run();
  await until(() => expect([...agent.running]).toEqual([`${id} 1`]));
  return id;
}
const stateOf = async (id: number) =>
  ((await (await instance.api('GET', `/api/jobs/${id}`)).json()) as { state: string }).state;
const ask = (path: string) => instance.api('POST', `/api/${path}`);
describe('a cancel', () => {
  test('stops the job by the push stream, while no heartbeat is answered; the job ends with the next one', async () => {
    const id = await running();
    await until(() => expect(agent.answered).toContain('/.executors/queue/push?executorName=waiting'));
    agent.withheld = /heartbeat/;
    await ask(`jobs/${id}/cancel`);
    await until(() => expect(agent.stopped).toEqual([{ job: `${id} 1`, code: 'canceled' }]));
    expect(await stateOf(id)).toBe('processing'); // nobody has said that its VM is gone
    agent.withheld = null;
    await until(async () => expect(await stateOf(id)).toBe('canceled'));
  });

  test('stops the job by the heartbeat, while nothing is pushed', async () => {
    agent.withheld = /push/;
    const id = await running();
    await ask(`jobs/${id}/cancel`);
    await until(() => expect(agent.stopped).toEqual([{ job: `${id} 1`, code: 'canceled' }]));
    await until(async () => expect(await stateOf(id)).toBe('canceled'));
  });
});

test('a drain lets what runs go on, and nothing start until it is taken back', async () => {
  const id = await running();
  await ask('executors/waiting/drain');
  const waits = await instance.run();
  const waiting = await (await instance.api('GET', `/api/jobs/${waits.id}`)).json();
  expect(waiting).toMatchObject({ state: 'queued', waiting: { reason: 'executors_drain' } });
  expect([...agent.running]).toEqual([`${id} 1`]);
  await ask('executors/waiting/resume');
  await until(() => expect(agent.running).toContain(`${waits.id} 1`));
  for (const job of [id, waits.id]) await ask(`jobs/${job}/cancel`);
});
