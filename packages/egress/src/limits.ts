/** What one guest may use of the network. */
export interface GuestLimits {
  /** Connections at the same time. Each can cost the host some 6 MiB of buffers. */
  readonly connections: number;
  readonly connectionsPerSecond: number;
  /** Bytes in a second, both directions together. A guest that moves more is slowed down. */
  readonly bytesPerSecond: number;
  /** Bytes in all, both directions together. */
  readonly bytes: number;
  /** Questions of DNS that are being answered at the same time. */
  readonly questions: number;
  readonly questionsPerSecond: number;
  /** How long a guest may take for a question on a stream, and to read its answer, ms. */
  readonly questionMs: number;
  /** Receipts in a second; what is beyond is counted. */
  readonly receiptsPerSecond: number;
  /** How long a client may take for a TLS hello, from its first byte to its last, ms. */
  readonly helloMs: number;
  /** How long a server may take to accept a connection, ms. */
  readonly dialMs: number;
  /** A connection on which nothing moves for so long is reset, ms. */
  readonly idleMs: number;
  /** The same of a connection of which one side has ended its half, ms. */
  readonly halfIdleMs: number;
}

export const guestLimits: GuestLimits = {
  connections: 256,
  connectionsPerSecond: 200,
  bytesPerSecond: 1_000 * 2 ** 20,
  bytes: 64 * 2 ** 30,
  questions: 64,
  questionsPerSecond: 100,
  questionMs: 10_000,
  receiptsPerSecond: 100,
  helloMs: 30_000,
  dialMs: 30_000,
  idleMs: 900_000,
  halfIdleMs: 120_000,
};

/** A guest may do at once what it may do in so many seconds. */
const burstSeconds = 5;

/** A token bucket. `now` is a time in ms that only goes forward; it is asked only when the bucket seems to be empty. */
export class Bucket {
  readonly #perSecond: number;
  readonly #most: number;
  readonly #now: () => number;
  #tokens: number;
  #at: number;

  constructor(perSecond: number, now = () => performance.now()) {
    this.#perSecond = perSecond;
    this.#most = perSecond * burstSeconds;
    this.#tokens = this.#most;
    this.#now = now;
    this.#at = now();
  }

  /** Takes a token, if there is one. */
  take(): boolean {
    if (this.#tokens < 1) this.#fill();
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }

  /** Takes tokens, also those that it does not have. Returns how long it takes until it has some again, ms. */
  takeAll(tokens: number): number {
    this.#tokens -= tokens;
    if (this.#tokens < 0) this.#fill();
    return this.#tokens >= 0 ? 0 : Math.ceil((-this.#tokens / this.#perSecond) * 1000);
  }

  #fill(): void {
    const now = this.#now();
    this.#tokens = Math.min(this.#most, this.#tokens + ((now - this.#at) / 1000) * this.#perSecond);
    this.#at = now;
  }
}
