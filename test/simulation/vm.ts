import type { MachineClock } from './clocks.ts';
import { guestBytes } from './guest.ts';
import type { Guard } from './guards.ts';
import type { Process } from './process.ts';
import type { World } from './world.ts';

type Stream = 'stdout' | 'stderr';

/** What the program of an attempt does, and how it ends. */
export interface Program {
  /** The program begins when its input has ended. */
  readonly takesInput: boolean;
  readonly output: readonly { readonly afterMs: number; readonly stream: Stream; readonly bytes: number }[];
  readonly afterMs: number;
  /** The exit code, or the death of the VMM. */
  readonly end: 0 | 1 | 'died';
}

/**
 * A VM with its launcher. It boots at the first renewal. It dies at the end of its lease on the machine's boot-time clock, whether the
 * agent runs, is stopped or was killed.
 */
export class Vm {
  readonly jobId: number;
  readonly attempt: number;
  /** Bytes that the program has written so far. */
  readonly written = { stdout: 0, stderr: 0 };
  runs = false;
  /** The exit code of the program. */
  exit: number | null = null;
  /** Why the VM is dead. */
  end: 'lease' | 'killed' | 'died' | null = null;
  private readonly taken = { stdout: 0, stderr: 0 };
  private readonly world: World;
  private readonly machine: MachineClock;
  private readonly agent: Process;
  private readonly program: Program;
  private readonly removed: Guard | null;
  private readonly booted: () => void;
  private begun = false;
  private disarm: () => void = () => {};
  private unseen = false;
  private waiter: (() => void) | null = null;

  constructor(
    of: { readonly jobId: number; readonly attempt: number },
    on: { readonly world: World; readonly machine: MachineClock; readonly agent: Process },
    program: Program,
    removed: Guard | null,
    booted: (vm: Vm) => void,
  ) {
    this.jobId = of.jobId;
    this.attempt = of.attempt;
    this.world = on.world;
    this.machine = on.machine;
    this.agent = on.agent;
    this.program = program;
    this.removed = removed;
    this.booted = () => booted(this);
  }

  /** Lets the VM live until a time on the machine's boot-time clock. */
  renew(deadline: number): void {
    if (this.end) return;
    const leftMs = deadline - this.machine.boot();
    if (!this.begun && leftMs <= 0) {
      this.die('lease');
      return;
    }
    this.disarm();
    const fire = () => this.world.after(this.world.random.between(0, 60), () => this.die('lease'));
    if (this.removed === 'own process')
      this.disarm = this.world.after(this.machine.trueMs(leftMs), () => this.agent.deliver(fire));
    else if (this.removed !== 'watchdog') this.disarm = this.world.after(this.machine.trueMs(leftMs), fire);
    if (!this.begun) this.boot();
  }

  kill(): void {
    this.world.after(this.world.random.between(0, 20), () => this.die('killed'));
  }

  /** Takes what the program has written to a stream since the last call. */
  take(stream: Stream): Buffer<ArrayBuffer> {
    const from = this.taken[stream];
    this.taken[stream] = this.written[stream];
    return guestBytes(this.jobId, this.attempt, stream, from, this.written[stream] - from);
  }

  endInput(): void {
    if (this.program.takesInput) this.start();
  }

  /** Resolves when something is new: output, the end of the program or the end of the VM. */
  change(): Promise<void> {
    if (this.unseen) {
      this.unseen = false;
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      this.waiter = resolve;
    });
  }

  private boot(): void {
    this.begun = true;
    this.runs = true;
    this.booted();
    if (!this.program.takesInput) this.start();
  }

  private start(): void {
    let at = this.world.random.between(100, 2_000);
    for (const { afterMs, stream, bytes } of this.program.output) {
      at += afterMs;
      this.later(at, () => {
        this.written[stream] += bytes;
      });
    }
    this.later(at + this.program.afterMs, () => {
      if (this.program.end === 'died') this.die('died');
      else this.exit = this.program.end;
    });
  }

  private later(ms: number, run: () => void): void {
    this.world.after(ms, () => {
      if (this.end) return;
      run();
      this.notify();
    });
  }

  private die(why: 'lease' | 'killed' | 'died'): void {
    if (this.end) return;
    if (this.begun) this.world.note(`j${this.jobId}: the VM of attempt ${this.attempt} is dead: ${why}`);
    this.end = why;
    this.runs = false;
    this.notify();
  }

  private notify(): void {
    this.agent.deliver(() => {
      const { waiter } = this;
      this.waiter = null;
      if (waiter) waiter();
      else this.unseen = true;
    });
  }
}
