import type { Socket } from 'node:net';
import { Bucket, type GuestLimits } from './limits.ts';

/** Counts the bytes of one guest, and slows it down. */
export class Meter {
  readonly #bucket: Bucket;
  #left: number;
  /** What ends the connections of a guest that has moved all that it may. */
  readonly refusal: { readonly rule: string; readonly reason: 'bytes' };
  readonly #waiting = new Set<() => void>();

  constructor({ bytesPerSecond, bytes }: Pick<GuestLimits, 'bytesPerSecond' | 'bytes'>) {
    this.#bucket = new Bucket(bytesPerSecond);
    this.#left = bytes;
    this.refusal = { rule: `a guest moves at most ${bytes} bytes`, reason: 'bytes' };
  }

  /** Whether the guest has moved all that it may. */
  get isSpent(): boolean {
    return this.#left <= 0;
  }

  /** Counts bytes that were moved. Returns whether more may be moved at once; if not, `resume` is called when they may. */
  count(bytes: number, resume: () => void): boolean {
    this.#left -= bytes;
    const waitMs = this.#bucket.takeAll(bytes);
    if (waitMs === 0) return true;
    if (this.#waiting.size === 0) setTimeout(() => this.#resume(), waitMs).unref();
    this.#waiting.add(resume);
    return false;
  }

  #resume(): void {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const resume of waiting) resume();
  }
}

/**
 * Copies what a socket sends to another one, as fast as that one takes it and the meter allows, and its end. `held` is what it has sent before.
 * Calls `onSpent` when the meter is spent.
 */
export function copy(
  from: Socket,
  to: Socket,
  meter: Meter,
  onSpent: () => void,
  held: Buffer | null = null,
): void {
  let isFull = false;
  let isSlowed = false;
  let hasEnded = false;
  let writing = 0;
  const written = () => {
    writing -= 1;
    if (writing === 0 && hasEnded) to.end();
  };
  const resume = () => {
    if (!isFull && !isSlowed) from.resume();
  };
  const go = () => {
    isSlowed = false;
    resume();
  };
  const pass = (chunk: Buffer) => {
    writing += 1;
    isFull = !to.write(chunk, written);
    isSlowed = !meter.count(chunk.length, go);
    if (meter.isSpent) onSpent();
    else if (isFull || isSlowed) from.pause();
  };
  if (held) pass(held);
  from.on('data', pass);
  to.on('drain', () => {
    isFull = false;
    resume();
  });
  // Not before all is written: see `abort`.
  from.once('end', () => {
    hasEnded = true;
    if (writing === 0) to.end();
  });
}

/**
 * Resets a connection. Two are closed instead: one that is connecting, whose reset would wait for the end of that, and one whose half is being ended.
 * libuv refuses to reset that one, and Node would lose it without closing it: its `close` never comes. With `copy` it is rare, because a half is ended
 * when nothing is left to be written.
 */
export function abort(socket: Socket): void {
  if (socket.connecting || (socket.writableEnded && !socket.writableFinished)) socket.destroy();
  else if (!socket.destroyed) socket.resetAndDestroy();
}
