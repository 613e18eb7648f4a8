import type { Clock } from '@fumehood/base';

/** Shortest time for which an answer lasts, ms: a client may connect a while after it asked. */
const lastsMinMs = 30_000;
const lastsMaxMs = 3_600_000;
/** Most addresses that a guest may have been told at the same time. */
const pinsMax = 10_000;

/** The names for which a guest got each address. A rebinding changes nothing: each name lasts with the addresses that were checked. */
export class Pins {
  readonly #clock: Pick<Clock, 'bootTime'>;
  readonly #until = new Map<string, Map<string, number>>();
  #count = 0;

  constructor(clock: Pick<Clock, 'bootTime'>) {
    this.#clock = clock;
  }

  /** Notes an answer. Returns whether there was room for it. */
  pin(name: string, addresses: readonly string[], ttlSeconds: number): boolean {
    if (this.#count + addresses.length > pinsMax) this.#removeOld();
    if (this.#count + addresses.length > pinsMax) return false;
    const until = this.#clock.bootTime() + Math.min(Math.max(ttlSeconds * 1000, lastsMinMs), lastsMaxMs);
    for (const address of addresses) {
      const names = this.#until.get(address) ?? new Map<string, number>();
      if (!names.has(name)) this.#count += 1;
      names.set(name, until);
      this.#until.set(address, names);
    }
    return true;
  }

  /** Returns the names for which the guest got this address, as far as they still last. */
  namesOf(address: string): string[] {
    const now = this.#clock.bootTime();
    return [...(this.#until.get(address) ?? [])].filter(([, until]) => until > now).map(([name]) => name);
  }

  #removeOld(): void {
    const now = this.#clock.bootTime();
    for (const [address, names] of this.#until) {
      for (const [name, until] of names) if (until <= now && names.delete(name)) this.#count -= 1;
      if (names.size === 0) this.#until.delete(address);
    }
  }
}
