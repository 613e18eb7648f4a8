import type { Clock } from '@fumehood/base';
import type { Process } from './process.ts';
import type { World } from './world.ts';

/** The clocks of one machine. They tick at a rate of their own, and the wall clock is set now and then. */
export class MachineClock {
  private readonly world: World;
  private readonly rate: number;
  private readonly bootedBefore: number;
  private wallOffset = 1_700_000_000_000;

  constructor(world: World, maxDrift: number) {
    this.world = world;
    this.rate = 1 + world.random.between(-maxDrift, maxDrift);
    this.bootedBefore = world.random.between(0, 1e9);
  }

  /** CLOCK_BOOTTIME, ms. */
  boot(): number {
    return this.bootedBefore + this.world.time * this.rate;
  }

  wall(): number {
    return this.boot() - this.bootedBefore + this.wallOffset;
  }

  /** Somebody sets the wall clock. */
  step(ms: number): void {
    this.wallOffset += ms;
  }

  /** How long something takes in truth that takes `ms` by this machine. */
  inTruth(ms: number): number {
    return ms / this.rate;
  }
}

/** The clock as a process of that machine sees it: it wakes only while it runs. */
export function processClock(world: World, machine: MachineClock, process: Process): Clock {
  return {
    now: () => Math.floor(machine.wall()),
    bootTime: () => Math.floor(machine.boot() / 10) * 10, // as the real one: to 10 ms
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        if (signal?.aborted) {
          reject(signal.reason as Error);
          return;
        }
        const abort = () => {
          forget();
          reject(signal?.reason as Error);
        };
        const forget = world.after(machine.inTruth(ms), () =>
          process.deliver(() => {
            signal?.removeEventListener('abort', abort);
            resolve();
          }),
        );
        signal?.addEventListener('abort', abort, { once: true });
      }),
  };
}
