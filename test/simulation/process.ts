import type { World } from './world.ts';

/** A process that can be stopped (SIGSTOP), continued and killed. All that happens to its code is delivered here. */
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

  /** Runs code of the process: now, when it is continued, or never. */
  deliver(run: () => void): void {
    if (this.state === 'runs') run();
    else if (this.state === 'stopped') this.waiting.push(run);
  }

  stop(): void {
    if (this.state === 'runs') this.state = 'stopped';
  }

  /** What came meanwhile is looked at in any order, one after the other. */
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
