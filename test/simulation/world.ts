import { createHash } from 'node:crypto';
import { type Random, seededRandom } from '../random.ts';

interface Event {
  readonly at: number;
  /** Decides between events of one moment. */
  readonly order: number;
  run: (() => void) | null;
}

/**
 * True time, and all that is going to happen in it. Everything random is drawn from one seed, and every event is followed by all
 * that it lets run (promises of promises included) before the next: the same seed gives the same history.
 */
export class World {
  readonly random: Random;
  /** True time, ms. No part of the simulated system sees it. */
  time = 0;
  events = 0;
  /** What happened, a line each. */
  readonly trace: string[] = [];
  /** The first broken promise, in words. */
  violation: string | null = null;
  private readonly heap: Event[] = [];
  private readonly hash = createHash('sha256');

  constructor(seed: number) {
    this.random = seededRandom(seed);
  }

  /** Has something happen `ms` from now; the returned function takes it back. */
  after(ms: number, run: () => void): () => void {
    const event: Event = { at: this.time + Math.max(0, ms), order: this.random.next(), run };
    push(this.heap, event);
    return () => {
      event.run = null;
    };
  }

  note(line: string): void {
    const text = `${this.time.toFixed(1)} ${line}`;
    this.trace.push(text);
    this.hash.update(text).update('\n');
  }

  violate(what: string): void {
    this.note(`VIOLATED: ${what}`);
    this.violation ??= what;
  }

  /** Lets events happen until one of them ends it, or a promise is broken. False: `limitMs` of true time were not enough. */
  async run(ended: () => boolean, limitMs: number): Promise<boolean> {
    for (const end = this.time + limitMs; this.violation === null && !ended(); ) {
      const event = pop(this.heap);
      if (!event || event.at > end) return false;
      if (!event.run) continue;
      this.time = event.at;
      this.events += 1;
      event.run();
      await settle();
    }
    return true;
  }

  /** Of the whole history; to be asked for once. */
  digest(): string {
    return this.hash.digest('hex');
  }
}

function settle(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

function earlier(a: Event, b: Event): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}

function push(heap: Event[], event: Event): void {
  let at = heap.push(event) - 1;
  while (at > 0) {
    const parent = (at - 1) >> 1;
    if (!earlier(event, heap[parent] as Event)) break;
    heap[at] = heap[parent] as Event;
    at = parent;
  }
  heap[at] = event;
}

function pop(heap: Event[]): Event | undefined {
  const first = heap[0];
  const last = heap.pop();
  if (!first || !last || heap.length === 0) return first;
  let at = 0;
  for (;;) {
    let child = 2 * at + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && earlier(heap[child + 1] as Event, heap[child] as Event)) child += 1;
    if (!earlier(heap[child] as Event, last)) break;
    heap[at] = heap[child] as Event;
    at = child;
  }
  heap[at] = last;
  return first;
}
