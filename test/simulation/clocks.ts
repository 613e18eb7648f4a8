import type { Clock } from '@fumehood/base';
import type { Process } from './process.ts';
import type { World } from './world.ts';

/** The clocks of one machine. They tick at the machine's own rate; the wall clock can be set. */
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

  /** Sets the wall clock forward or back. */
  step(ms: number): void {
    this.wallOffset += ms;
  }

  /** Returns the true duration of `ms` on this machine's clock. */
  trueMs(ms: number): number {
    return ms / this.rate;
  }
}

/** Returns the clock of a process on that machine. A sleep ends only while the process runs. */
export function processClock(world: World, machine: MachineClock, process: Process): Clock {
  return {
    now: () => Math.floor(machine.wall()),
    bootTime: () => Math.floor(machine.boot() / 10) * 10, // 10 ms resolution, as the real clock has
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
        const forget = world.after(machine.trueMs(ms), () =>
          process.deliver(() => {
            signal?.removeEventListener('abort', abort);
            resolve();
          }),
        );
        signal?.addEventListener('abort', abort, { once: true });
      }),
  };
}
