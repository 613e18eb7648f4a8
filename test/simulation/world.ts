import { createHash } from 'node:crypto';
import { type Random, seededRandom } from '../random.ts';

interface Event {
  readonly at: number;
  /** Decides the order of events at the same time. */
  readonly order: number;
  run: (() => void) | null;
}

/**
 * True time and the queue of events. One seed decides everything random, and everything that an event triggers (promises of promises
 * included) runs before the next event. So the same seed gives the same history.
 */
export class World {
  readonly random: Random;
  /** True time, ms. No part of the simulated system sees it. */
  time = 0;
  events = 0;
  /** What happened, one line per event. */
  readonly trace: string[] = [];
  /** A description of the first broken promise. */
  violation: string | null = null;
  private readonly heap: Event[] = [];
  private readonly hash = createHash('sha256');

  constructor(seed: number) {
    this.random = seededRandom(seed);
  }

  /** Runs a function `ms` from now. Returns a function that cancels it. */
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

  /** Runs events until `ended` returns true or a promise is broken. Returns false if that takes more than `limitMs` of true time. */
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

  /** Returns the hash of the whole history; may be called once. */
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
