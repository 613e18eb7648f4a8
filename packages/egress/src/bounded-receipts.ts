import type { Receipt } from '@fumehood/protocol';
import { Bucket } from './limits.ts';

/**
 * Passes on a guest's receipts, at most so many in a second, because each travels over two channels to the agent. What is beyond is counted, and one
 * receipt says how many there were, with the sums of their bytes.
 */
export class BoundedReceipts {
  readonly #bucket: Bucket;
  readonly #give: (receipt: Receipt) => void;
  #omitted = 0;
  /** When the last one was omitted, ms since 1970. */
  #at = 0;
  #sentBytes = 0;
  #receivedBytes = 0;

  constructor(bucket: Bucket, give: (receipt: Receipt) => void) {
    this.#bucket = bucket;
    this.#give = give;
  }

  add(receipt: Receipt): void {
    if (this.#bucket.take()) {
      this.end();
      this.#give(receipt);
      return;
    }
    this.#omitted += 1;
    this.#at = receipt.at;
    this.#sentBytes += receipt.sentBytes;
    this.#receivedBytes += receipt.receivedBytes;
  }

  /** Gives the receipt for those that were counted, if there were any. */
  end(): void {
    if (this.#omitted === 0) return;
    const rule = `${this.#omitted} more are not listed: a guest has a number of receipts in a second`;
    const nothing = { name: null, address: null, port: null, serverName: null };
    const bytes = { sentBytes: this.#sentBytes, receivedBytes: this.#receivedBytes };
    this.#omitted = this.#sentBytes = this.#receivedBytes = 0;
    this.#give({
      at: this.#at,
      kind: 'omitted',
      ...nothing,
      ...bytes,
      verdict: 'failed',
      rule,
      reason: null,
    });
  }
}
