import { describe, expect, it } from 'vitest';
import { type ProcessExit, type Running, supervise } from './supervise.ts';

/** A process of a test. SIGTERM ends it at once. */
class FakeProcess implements Running {
  readonly #exit = Promise.withResolvers<ProcessExit>();
  readonly exited = this.#exit.promise;
  stops = 0;

  die(): void {
    this.#exit.resolve({ code: null, signal: 'SIGKILL' });
  }
  async stop(): Promise<void> {
    this.stops += 1;
    this.#exit.resolve({ code: 0, signal: null });
    await this.exited;
  }
}

/** Starts fake processes under supervision. `start` may be replaced; pauses last until `wake` is called. */
class Setup {
  readonly processes: FakeProcess[] = [];
  readonly pauses: number[] = [];
  readonly logged: string[] = [];
  wake: () => void = () => {};
  start = (): Promise<FakeProcess> => {
    const process = new FakeProcess();
    this.processes.push(process);
    return Promise.resolve(process);
  };

  supervise() {
    const clock = {
      now: () => 0,
      bootTime: () => 0,
      sleep: (ms: number, signal?: AbortSignal) =>
        new Promise<void>((resolve, reject) => {
          this.pauses.push(ms);
          this.wake = resolve;
          signal?.addEventListener('abort', () => reject(signal.reason as Error));
        }),
    };
    const log = { error: (_facts: object, message: string) => void this.logged.push(message) };
    return supervise('the process', () => this.start(), { clock, log });
  }
}

describe('supervise', () => {
  it('rejects with the error of the first start', async () => {
    const setup = new Setup();
    setup.start = () => Promise.reject(new Error('no'));
    await expect(setup.supervise()).rejects.toThrow('no');
  });

  it('starts a process that died again after a pause', async () => {
    const setup = new Setup();
    const { first } = await setup.supervise();
    setup.processes[0]?.die();
    await expect.poll(() => setup.pauses).toEqual([200]);
    expect(setup.processes).toEqual([first]);
    setup.wake();
    await expect.poll(() => setup.processes.length).toBe(2);
    expect(setup.logged).toEqual(['the process died; it is started again']);
  });

  it('doubles the pause up to 10 s while the process cannot be started', async () => {
    const setup = new Setup();
    await setup.supervise();
    const { start } = setup;
    setup.start = () => Promise.reject(new Error('no'));
    setup.processes[0]?.die();
    for (let count = 1; count <= 8; count += 1) {
      await expect.poll(() => setup.pauses.length).toBe(count);
      setup.wake();
    }
    expect(setup.pauses).toEqual([200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]);
    await expect.poll(() => setup.pauses.length).toBe(9);
    setup.start = start;
    setup.wake();
    await expect.poll(() => setup.processes.length).toBe(2);
    setup.processes[1]?.die();
    await expect.poll(() => setup.pauses.at(-1)).toBe(200);
  });

  it('stops the process, and starts no other one', async () => {
    const setup = new Setup();
    const supervised = await setup.supervise();
    await supervised.stop();
    expect(setup.processes).toHaveLength(1);
    expect(setup.logged).toEqual([]);
  });

  it('ends the pause before a start when it is stopped', async () => {
    const setup = new Setup();
    const supervised = await setup.supervise();
    setup.processes[0]?.die();
    await expect.poll(() => setup.pauses.length).toBe(1);
    await supervised.stop();
    expect(setup.processes).toHaveLength(1);
  });

  it('stops a process whose start was under way when it was stopped', async () => {
    const setup = new Setup();
    const supervised = await setup.supervise();
    const starting = Promise.withResolvers<FakeProcess>();
    let started = false;
    setup.start = () => {
      started = true;
      return starting.promise;
    };
    setup.processes[0]?.die();
    await expect.poll(() => setup.pauses.length).toBe(1);
    setup.wake();
    await expect.poll(() => started).toBe(true);
    const stopped = supervised.stop();
    const late = new FakeProcess();
    starting.resolve(late);
    await stopped;
    expect(late.stops).toBe(1);
  });

  it('asks the process again at each call of stop', async () => {
    const setup = new Setup();
    const supervised = await setup.supervise();
    const [process] = setup.processes as [FakeProcess];
    const hanging = Promise.withResolvers<void>();
    process.stop = () => {
      process.stops += 1;
      return hanging.promise;
    };
    const both = [supervised.stop(), supervised.stop()];
    expect(process.stops).toBe(2);
    process.die();
    hanging.resolve();
    await Promise.all(both);
  });
});
