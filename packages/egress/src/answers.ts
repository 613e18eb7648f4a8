import type { Clock } from '@fumehood/base';
import type { Resolution } from './dns.ts';

type Answer = Extract<Resolution, { readonly code: 'ok' }>;

/** Most names whose answers are kept. */
const namesMax = 1_000;

/** The answers that a guest got, as long as their time to live lasts: package managers ask for the same names over and over. */
export class Answers {
  readonly #clock: Pick<Clock, 'bootTime'>;
  readonly #kept = new Map<string, { readonly addresses: readonly string[]; readonly until: number }>();

  constructor(clock: Pick<Clock, 'bootTime'>) {
    this.#clock = clock;
  }

  /** Keeps an answer that was checked. */
  keep(name: string, { addresses, ttlSeconds }: Answer): void {
    this.#kept.delete(name);
    if (ttlSeconds === 0) return;
    const [oldest] = this.#kept.keys();
    if (oldest !== undefined && this.#kept.size >= namesMax) this.#kept.delete(oldest);
    this.#kept.set(name, { addresses, until: this.#clock.bootTime() + ttlSeconds * 1_000 });
  }

  /** Returns the answer for a name with what is left of its time to live, or null. */
  find(name: string): Answer | null {
    const found = this.#kept.get(name);
    const ttlSeconds = found ? Math.floor((found.until - this.#clock.bootTime()) / 1_000) : 0;
    return found && ttlSeconds > 0 ? { code: 'ok', addresses: [...found.addresses], ttlSeconds } : null;
  }
}
