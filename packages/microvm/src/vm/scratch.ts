import type { FileHandle } from 'node:fs/promises';

/** A blank scratch disk of one VM, for writing and for reading. Whoever takes it closes both. */
export type ScratchDisk = [writer: FileHandle, reader: FileHandle];

/** The scratch disks of a host. Each is given to one VM and to no other. */
export interface ScratchDisks {
  /** Returns a blank disk: one that was made ahead, if there is one of this size. */
  take(sizeMiB: number): Promise<ScratchDisk>;
  /** Frees those that were made ahead, and makes no more. */
  close(): Promise<void>;
}

/** Disks that are made ahead. */
const aheadMax = 2;
/** Pause before one is made ahead, ms: it must not slow down the VM that has just taken one. */
export const aheadPauseMs = 500;

/**
 * Makes a few disks ahead, of the size that was taken last. `freeMiB` says how much of the host's disk no VM has reserved: disks
 * that were made ahead use no more than that.
 */
export function openScratchDisks(options: {
  readonly make: (sizeMiB: number) => Promise<ScratchDisk>;
  readonly freeMiB: () => number;
  readonly sleep: (ms: number) => Promise<void>;
}): ScratchDisks {
  const { make, freeMiB, sleep } = options;
  let ahead: Promise<ScratchDisk | null>[] = [];
  let size = 0;
  let refilling = false;
  let closed = false;

  const drop = async (disks: readonly Promise<ScratchDisk | null>[]) => {
    for (const disk of disks) for (const file of (await disk) ?? []) await file.close();
  };
  /** Keeps as many disks as fit into what is free. */
  const trim = () => drop(ahead.splice(Math.max(0, Math.floor(freeMiB() / size))));
  const mayGrow = () => !closed && ahead.length < aheadMax && (ahead.length + 1) * size <= freeMiB();
  const refill = async () => {
    if (refilling) return;
    refilling = true;
    await sleep(aheadPauseMs);
    refilling = false;
    while (mayGrow()) {
      const making = make(size).catch(() => null); // whoever needs a disk tries again, and is told
      ahead.push(making);
      if ((await making) === null) {
        ahead = ahead.filter((disk) => disk !== making);
        break;
      }
    }
  };

  return {
    async take(sizeMiB) {
      if (sizeMiB !== size) {
        size = sizeMiB;
        await drop(ahead.splice(0));
      }
      const disk = ahead.shift();
      await trim();
      void refill();
      return (await disk) ?? (await make(sizeMiB));
    },
    async close() {
      closed = true;
      await drop(ahead.splice(0));
    },
  };
}
