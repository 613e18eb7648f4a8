import { type Order, protocolVersion } from '@fumehood/protocol';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { FakeInstance } from '../testing/fake-instance.ts';
import { testJob } from '../testing/test-job.ts';
import { WaitingAgent } from '../testing/waiting-agent.ts';

let instance: FakeInstance;
let agent: WaitingAgent;
let lastId = 0;

beforeEach(async () => {
  instance = new FakeInstance();
  await instance.start();
});
afterEach(async () => {
  await agent.stop();
  await instance.stop();
});

const start = () => (agent = new WaitingAgent(instance.url, instance.credential));
const until = (what: () => Promise<void> | void) => vi.waitFor(what, { timeout: 60_000, interval: 20 });
const connected = () => until(() => expect(instance.streams.size).toBe(1));

/** Puts a job on the instance and waits until it runs. */
async function running(attempt = 1) {
  const id = ++lastId;
  instance.jobs.push(testJob({ id }, { attempt }));
  await until(() => expect(agent.running).toContain(`${id} ${attempt}`));
  return { jobId: id, queue: 'runs' as const, attempt };
}
const requestsTo = (path: string) =>
  instance.requests.filter((line) => line.endsWith(`/queue/${path}`)).length;
const containing = (text: string) => expect.stringContaining(text) as string;

describe('a running job is stopped', () => {
  it('by the push stream, while no heartbeat is answered', async () => {
    start();
    await connected();
    const { jobId, ...job } = await running();
    agent.withheld = /heartbeat/;
    instance.pushOrder({ type: 'cancel', jobId, ...job });
    await until(() => expect(agent.stopped).toEqual([{ job: `${jobId} 1`, code: 'canceled' }]));
  });

  it('by the heartbeat, while no push stream is open', async () => {
    start().withheld = /push/;
    const { jobId } = await running();
    instance.canceled.add(jobId);
    await until(() => expect(agent.stopped).toEqual([{ job: `${jobId} 1`, code: 'canceled' }]));
    expect(instance.streams.size).toBe(0);
  });

  it('by a lost lease, and its end is not reported', async () => {
    start();
    await connected();
    const job = await running();
    instance.pushOrder({ type: 'lost', ...job });
    await until(() => expect(agent.stopped).toEqual([{ job: `${job.jobId} 1`, code: 'lease_lost' }]));
    expect(instance.marks).toEqual([]);
  });

  it('once by repeated orders, and not by an order for another attempt, job or queue', async () => {
    start();
    await connected();
    const other = await running(2);
    const job = await running();
    instance.pushOrder({ type: 'cancel', ...other, attempt: 1 });
    instance.pushOrder({ type: 'lost', ...other, attempt: 3 });
    instance.pushOrder({ type: 'cancel', ...other, jobId: 4711 });
    instance.pushOrder({ type: 'cancel', ...other, queue: 'codeintel' });
    for (let times = 0; times < 3; times++) instance.pushOrder({ type: 'cancel', ...job });
    await until(() => expect(agent.stopped).toEqual([{ job: `${job.jobId} 1`, code: 'canceled' }]));
    // The stream is in order, so the earlier orders were applied before.
    expect([...agent.running]).toEqual([`${other.jobId} 2`]);
  });
});

describe('a push stream', () => {
  it('that is cut off is opened again', async () => {
    start();
    await connected();
    for (const stream of instance.streams) stream.destroy();
    await until(() => expect(requestsTo('push')).toBe(2));
    await connected();
  });

  it('goes on after an unknown order or invalid data', async () => {
    start();
    await connected();
    const { jobId, ...job } = await running();
    instance.pushOrder({ type: 'new', jobId } as unknown as Order);
    for (const stream of instance.streams) stream.write(': quiet\n\ndata: {\n\nevent: x\ndata: 7\n\n');
    instance.pushOrder({ type: 'cancel', jobId, ...job });
    await until(() => expect(agent.stopped).toHaveLength(1));
    expect(requestsTo('push')).toBe(1);
  });

  it('with an endless event is closed and opened again, and the job goes on', async () => {
    start();
    await connected();
    await running();
    for (const stream of instance.streams) stream.write(`data: ${'x'.repeat(70_000)}`);
    await until(() => expect(requestsTo('push')).toBe(2));
    expect(agent.running.size).toBe(1);
    expect(agent.warnings).toEqual([containing('more than 65536 characters')]);
  });
});

describe('an executor that drains', () => {
  it.each([
    ['by the push stream', /heartbeat/],
    ['by the heartbeat', /push/],
  ])('learns it %s, leases nothing, and leases again when it no longer drains', async (_, withheld) => {
    start();
    const pushed = withheld.test('heartbeat');
    if (pushed) await connected();
    agent.withheld = withheld;
    const tell = (draining: boolean) => {
      if (pushed) instance.pushOrder({ type: 'drain', draining });
      instance.draining = draining;
    };
    tell(true);
    await until(() => {
      const before = requestsTo('dequeue');
      return new Promise((resolve) => setTimeout(resolve, 300)).then(() =>
        expect(requestsTo('dequeue')).toBe(before),
      );
    });
    instance.jobs.push(testJob({ id: ++lastId }));
    tell(false);
    agent.withheld = pushed ? null : withheld;
    await until(() => expect(agent.running.size).toBe(1));
  });
});

describe('an instance', () => {
  it('of the version before gets requests of its version', async () => {
    instance.speaks = protocolVersion - 1;
    start();
    await running();
    // The first two are sent before there is an answer.
    expect(new Set(instance.receivedVersions.slice(2))).toEqual(new Set([String(protocolVersion - 1)]));
    expect(agent.warnings).toEqual([]);
  });

  it('that is upgraded gets requests of the new version', async () => {
    instance.speaks = protocolVersion - 1;
    start();
    await until(() => expect(instance.receivedVersions).toContain(String(protocolVersion - 1)));
    instance.speaks = protocolVersion;
    await until(() => expect(instance.receivedVersions.at(-1)).toBe(String(protocolVersion)));
  });

  it('of the next version gets requests of our version', async () => {
    instance.speaks = protocolVersion + 1;
    start();
    await running();
    expect(new Set(instance.receivedVersions)).toEqual(new Set([String(protocolVersion)]));
    expect(agent.warnings).toEqual([]);
  });

  it("of upstream's kind is not asked for a stream, and is asked for a job once a second", async () => {
    instance.speaks = null;
    start();
    await until(() => expect(requestsTo('dequeue')).toBeGreaterThan(2));
    const before = requestsTo('dequeue');
    const since = Date.now();
    await until(() => expect(requestsTo('heartbeat')).toBeGreaterThan(2));
    expect(requestsTo('dequeue') - before).toBeLessThanOrEqual((Date.now() - since) / 1_000 + 1);
    expect(requestsTo('push')).toBe(0);
  });

  it.each([protocolVersion + 2, 9])(
    'of version %d is reported once as too far apart, and is asked rarely',
    async (speaks) => {
      instance.speaks = speaks;
      start();
      const versions = `this executor speaks version ${protocolVersion} of the native protocol, and the instance version ${speaks}`;
      await until(() =>
        expect(agent.warnings).toEqual([containing(`${versions}. Update the older of the two`)]),
      );
      const before = requestsTo('dequeue');
      await new Promise((resolve) => setTimeout(resolve, 2_500));
      expect([requestsTo('heartbeat'), requestsTo('dequeue')]).toEqual([1, before]);
      expect(agent.warnings).toHaveLength(1);
    },
  );
});
