import type { World } from './world.ts';

/** A process that can be stopped (SIGSTOP), continued and killed. Its code runs only through `deliver`. */
export class Process {
  private readonly world: World;
  private state: 'runs' | 'stopped' | 'dead' = 'runs';
  private waiting: (() => void)[] = [];

  constructor(world: World) {
    this.world = world;
  }

  get alive(): boolean {
    return this.state !== 'dead';
  }

  /** Runs code of the process: now, when the process is continued, or never. */
  deliver(run: () => void): void {
    if (this.state === 'runs') run();
    else if (this.state === 'stopped') this.waiting.push(run);
  }

  stop(): void {
    if (this.state === 'runs') this.state = 'stopped';
  }

  /** Continues the process, which runs what arrived meanwhile one by one, in any order. */
  continue(): void {
    if (this.state !== 'stopped') return;
    this.state = 'runs';
    const waiting = this.world.random.shuffled(this.waiting);
    this.waiting = [];
    waiting.forEach((run, index) => this.world.after(index * 0.01, () => this.deliver(run)));
  }

  kill(): void {
    this.state = 'dead';
    this.waiting = [];
  }
}
