import type { HeartbeatResponse } from '@fumehood/protocol';
import { describe, expect, it } from 'vitest';
import { fakeClock } from '../testing/fake-clock.ts';
import { instanceUnreachable } from '../errors.ts';
import { keepLeases, marginMs } from './leases.ts';
import type { JobReference, QueueClient } from './queue.ts';

const leaseMs = 10_000;
const job: JobReference = { id: 7, queue: 'runs', attempt: 1 };

function setUp(answer: (asked: readonly JobReference[], signal: AbortSignal) => Promise<HeartbeatResponse>) {
  const clock = fakeClock();
  const queue: QueueClient = {
    lease: () => Promise.resolve(null),
    heartbeat: (_queues, jobs, signal) => answer(jobs, signal),
  };
  const leases = keepLeases({ queue, queues: ['runs'], clock, onTrouble: () => {} });
  const stop = new AbortController();
  return { clock, leases, stop, run: () => void leases.run(stop.signal) };
}
const names = (jobs: readonly JobReference[]) => jobs.map((one) => `${one.id}-${one.queue}`);

describe('a lease', () => {
  it('is counted from the sending of the heartbeat, not from its answer', async () => {
    const { clock, leases } = setUp(async (jobs) => {
      await clock.sleep(1_500);
      return { knownIds: names(jobs), cancelIds: [] };
    });
    const sent = clock.bootTime();
    const holding = leases.hold(job, leaseMs);
    await clock.advance(1_500);
    expect((await holding).deadline()).toBe(sent + leaseMs - marginMs);
  });

  it('is not confirmed before a heartbeat that names the job is answered', async () => {
    let open = () => {};
    const { clock, leases } = setUp(
      (jobs) =>
        new Promise((resolve) => {
          open = () => resolve({ knownIds: names(jobs), cancelIds: [] });
        }),
    );
    let confirmed = false;
    const holding = leases.hold(job, leaseMs).then(() => {
      confirmed = true;
    });
    await clock.advance(1_000);
    expect(confirmed).toBe(false);
    open();
    await holding;
  });

  it('is renewed by every answer and lost when the answers stop', async () => {
    let reachable = true;
    const { clock, leases, stop, run } = setUp((jobs) =>
      reachable
        ? Promise.resolve({ knownIds: names(jobs), cancelIds: [] })
        : Promise.reject(instanceUnreachable('test', 'down')),
    );
    const lease = await leases.hold(job, leaseMs);
    const deadlines: number[] = [];
    lease.onRenewed((deadline) => deadlines.push(deadline));
    run();
    await clock.advance(10_000);
    expect(deadlines.length).toBeGreaterThanOrEqual(5);
    reachable = false;
    const last = lease.deadline();
    await clock.advance(last - clock.bootTime() - 1);
    expect(lease.stopped.aborted).toBe(false);
    await clock.advance(2);
    expect(lease.stopped.reason).toMatchObject({ code: 'lease_lost' });
    stop.abort();
  });

  it('is renewed by the next heartbeat although an earlier one gets no answer at all', async () => {
    let silentUntil = 0;
    const { clock, leases, stop, run } = setUp((jobs) =>
      clock.bootTime() < silentUntil
        ? new Promise(() => {})
        : Promise.resolve({ knownIds: names(jobs), cancelIds: [] }),
    );
    const lease = await leases.hold(job, leaseMs);
    run();
    const last = lease.deadline();
    silentUntil = clock.bootTime() + leaseMs / 2;
    await clock.advance(leaseMs);
    expect(lease.stopped.aborted).toBe(false);
    expect(lease.deadline()).toBeGreaterThan(last);
    stop.abort();
  });

  it('has at most two heartbeats under way when the instance does not answer', async () => {
    let open = 0;
    let most = 0;
    const { clock, stop, run } = setUp((_jobs, signal) => {
      open += 1;
      most = Math.max(most, open);
      return new Promise((_, reject) =>
        signal.addEventListener('abort', () => {
          open -= 1;
          reject(signal.reason as Error);
        }),
      );
    });
    run();
    await clock.advance(60_000);
    expect(most).toBeLessThanOrEqual(2);
    stop.abort();
  });

  it('is lost when the instance does not know the job, and stopped when the instance cancels it', async () => {
    for (const [answer, code] of [
      [{ knownIds: [], cancelIds: [] }, 'lease_lost'],
      [{ knownIds: ['7-runs'], cancelIds: ['7-runs'] }, 'canceled'],
    ] as const) {
      let now: { knownIds: string[]; cancelIds: string[] } = { knownIds: ['7-runs'], cancelIds: [] };
      const { clock, leases, stop, run } = setUp(() => Promise.resolve(now));
      const lease = await leases.hold(job, leaseMs);
      run();
      now = { knownIds: [...answer.knownIds], cancelIds: [...answer.cancelIds] };
      await clock.advance(2_001);
      expect(lease.stopped.reason).toMatchObject({ code });
      // A step of a canceled job has its grace period, and its output is accepted.
      for (const signal of [lease.killed, lease.lost])
        expect(signal.reason).toBe(code === 'canceled' ? undefined : lease.stopped.reason);
      stop.abort();
    }
  });

  it('of a canceled job is held until its VM is gone, and then a heartbeat without the job is sent at once', async () => {
    let cancelIds: string[] = [];
    const asked: string[][] = [];
    const { clock, leases, stop, run } = setUp((jobs) => {
      asked.push(names(jobs));
      return Promise.resolve({ knownIds: names(jobs), cancelIds });
    });
    const lease = await leases.hold(job, leaseMs);
    run();
    cancelIds = ['7-runs'];
    await clock.advance(2_001);
    expect(lease.stopped.reason).toMatchObject({ code: 'canceled' });
    expect(asked.at(-1)).toEqual(['7-runs']);
    const before = asked.length;
    lease.release();
    expect(asked.slice(before)).toEqual([[]]);
    stop.abort();
  });

  it('of a job that an order cancels before its first heartbeat is answered is released at once', async () => {
    const asked: string[][] = [];
    const { leases } = setUp((jobs) => {
      asked.push(names(jobs));
      return jobs.length > 0 ? new Promise(() => {}) : Promise.resolve({ knownIds: [], cancelIds: [] });
    });
    const holding = leases.hold(job, leaseMs);
    leases.applyOrder({ type: 'cancel', jobId: 7, queue: 'runs', attempt: 1 });
    await expect(holding).rejects.toMatchObject({ code: 'canceled' });
    expect(asked).toEqual([['7-runs'], []]);
  });

  it('is stopped by an order that names its attempt, even if no heartbeat is answered', async () => {
    for (const [type, code] of [
      ['cancel', 'canceled'],
      ['lost', 'lease_lost'],
    ] as const) {
      let silent = false;
      const { leases } = setUp((jobs) =>
        silent ? new Promise(() => {}) : Promise.resolve({ knownIds: names(jobs), cancelIds: [] }),
      );
      const lease = await leases.hold({ ...job, attempt: 2 }, leaseMs);
      silent = true;
      leases.applyOrder({ type, jobId: 7, queue: 'runs', attempt: 1 });
      leases.applyOrder({ type, jobId: 7, queue: 'batches', attempt: 2 });
      leases.applyOrder({ type, jobId: 8, queue: 'runs', attempt: 2 });
      expect(lease.stopped.aborted).toBe(false);
      leases.applyOrder({ type, jobId: 7, queue: 'runs', attempt: 2 });
      const { reason } = lease.stopped;
      expect(reason).toMatchObject({ code });
      expect(lease.killed.aborted).toBe(type === 'lost');
      leases.applyOrder({ type: 'cancel', jobId: 7, queue: 'runs', attempt: 2 });
      expect(lease.stopped.reason).toBe(reason);
      // The loss of the lease ends the grace period at once.
      leases.applyOrder({ type: 'lost', jobId: 7, queue: 'runs', attempt: 2 });
      expect(lease.killed.reason).toMatchObject({ code: 'lease_lost' });
      expect(lease.lost.aborted).toBe(true);
    }
  });

  it('is not needed to learn that the executor drains: the latest order or heartbeat tells it', async () => {
    let draining = true;
    const { clock, leases, stop, run } = setUp(() =>
      Promise.resolve({ knownIds: [], cancelIds: [], fumehood: { draining } }),
    );
    leases.applyOrder({ type: 'drain', draining: true });
    expect(leases.draining()).toBe(true);
    leases.applyOrder({ type: 'drain', draining: false });
    expect(leases.draining()).toBe(false);
    run();
    await clock.advance(1);
    expect(leases.draining()).toBe(true);
    draining = false;
    await clock.advance(2_000);
    expect(leases.draining()).toBe(false);
    stop.abort();
  });

  it('that ended while the process was suspended is not in the next heartbeat, and a late answer does not renew it', async () => {
    const asked: number[] = [];
    let late = 0;
    const { clock, leases } = setUp(async (jobs) => {
      asked.push(jobs.length);
      if (late > 0) await clock.sleep(late);
      return { knownIds: names(jobs), cancelIds: [] };
    });
    const first = await leases.hold(job, leaseMs);
    // No heartbeat is sent: the process is suspended until the lease has almost ended.
    await clock.advance(leaseMs - marginMs - 1_000);
    late = 1_500;
    const holding = leases.hold({ ...job, id: 8 }, leaseMs);
    await clock.advance(1_500);
    await holding;
    expect(first.stopped.reason).toMatchObject({ code: 'lease_lost' });
    const third = leases.hold({ ...job, id: 9 }, leaseMs);
    await clock.advance(1_500);
    await third;
    expect(asked).toEqual([1, 2, 2]);
  });

  it("of a job that an upstream instance cancels before its first heartbeat is held, so that the job's end can be reported", async () => {
    const { leases } = setUp((jobs) => Promise.resolve({ knownIds: names(jobs), cancelIds: names(jobs) }));
    const lease = await leases.hold({ ...job, attempt: null }, leaseMs);
    expect(lease.stopped.reason).toMatchObject({ code: 'canceled' });
    expect(lease.lost.aborted).toBe(false);
  });

  it('is in the next heartbeat even if the last one is not answered, and a heartbeat is given up after 4 s', async () => {
    const signals: AbortSignal[] = [];
    const { clock, stop, run } = setUp(
      (_jobs, signal) =>
        new Promise((_, reject) => {
          signals.push(signal);
          signal.addEventListener('abort', () => reject(signal.reason as Error));
        }),
    );
    run();
    await clock.advance(3_999);
    expect(signals.map((signal) => signal.aborted)).toEqual([false, false]);
    await clock.advance(2);
    expect(signals.map((signal) => signal.aborted)).toEqual([true, false, false]);
    stop.abort();
  });

  it('is not lost by the answer to a heartbeat that was sent before the job was leased', async () => {
    const answers: (() => void)[] = [];
    const { clock, leases, stop, run } = setUp(
      (jobs) =>
        new Promise((resolve) => {
          answers.push(() => resolve({ knownIds: names(jobs), cancelIds: [] }));
        }),
    );
    run();
    await clock.advance(1);
    const holding = leases.hold(job, leaseMs);
    answers[0]?.();
    await clock.advance(1);
    answers[1]?.();
    expect((await holding).stopped.aborted).toBe(false);
    stop.abort();
  });
});
