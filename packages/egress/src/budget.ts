import { readFileSync } from 'node:fs';
import { totalmem } from 'node:os';

/**
 * What a connection can cost: its two sockets, and their buffers when neither side reads. Measured: 5.2 MiB, of which 3.5 are what the kernel takes of
 * the guest's bytes for a server that does not read.
 */
const descriptorsEach = 2;
const bytesEach = 6 * 2 ** 20;
/** Descriptors that are left to everything else of the process, and to two sockets of each of 256 guests. */
const descriptorsKept = 1024;
/** The part of the machine's memory that connections may use. */
const memoryShare = 1 / 4;
/** The same of its cgroup's: the rest is the process itself. */
const cgroupShare = 3 / 4;

/** Returns how many connections a process of these limits can hold, at least 16. */
export function connectionsFor(limits: {
  readonly descriptors: number;
  readonly memoryBytes: number;
}): number {
  const { descriptors, memoryBytes } = limits;
  const byDescriptors = (descriptors - descriptorsKept) / descriptorsEach;
  return Math.max(16, Math.floor(Math.min(byDescriptors, memoryBytes / bytesEach)));
}

/** Returns how many connections this process can hold: by its limit of descriptors, and the memory of its cgroup (null: it has none) or of the machine. */
export function ownConnectionsMax(cgroupBytes: number | null): number {
  const [, soft] = /^Max open files +(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1')) ?? [];
  const memoryBytes = cgroupBytes === null ? totalmem() * memoryShare : cgroupBytes * cgroupShare;
  return connectionsFor({ descriptors: soft === undefined ? 1024 : Number(soft), memoryBytes });
}

/** What one guest holds of a budget. */
export interface Share {
  /** Takes a connection, if this guest may have one more. */
  take(): boolean;
  release(): void;
  /** Leaves the budget. What the guest holds is released one by one. */
  leave(): void;
}

/**
 * The connections of all guests together. A half goes to whoever asks first; of the other one each guest has an equal share, so that those who
 * ask for all leave something to a guest that comes later.
 */
export class ConnectionBudget {
  readonly #most: number;
  #held = 0;
  #guests = 0;

  constructor(most: number) {
    this.#most = most;
  }

  join(): Share {
    this.#guests += 1;
    let own = 0;
    return {
      take: () => {
        const half = this.#most / 2;
        const isFree = this.#held < half || (this.#held < this.#most && own < half / this.#guests);
        if (!isFree) return false;
        own += 1;
        this.#held += 1;
        return true;
      },
      release: () => {
        own -= 1;
        this.#held -= 1;
      },
      leave: () => {
        this.#guests -= 1;
      },
    };
  }
}
