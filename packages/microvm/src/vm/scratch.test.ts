import type { FileHandle } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { openScratchDisks, type ScratchDisk } from './scratch.ts';

/** Scratch disks that are made up. `made` are the sizes in order, `open` the numbers of the disks that are not closed. */
function host() {
  const facts = { freeMiB: 10_000, fails: false };
  const made: number[] = [];
  const open = new Set<number>();
  const pauses: (() => void)[] = [];
  const make = async (sizeMiB: number): Promise<ScratchDisk> => {
    await new Promise((resolve) => setImmediate(resolve));
    if (facts.fails) throw new Error('ENOSPC');
    const number = made.push(sizeMiB);
    open.add(number);
    const file = { number, close: async () => void open.delete(number) };
    return [file, file] as unknown as [FileHandle, FileHandle];
  };
  const sleep = () => new Promise<void>((resolve) => void pauses.push(resolve));
  const disks = openScratchDisks({ make, freeMiB: () => facts.freeMiB, sleep });
  const take = async (sizeMiB: number) => {
    const [file] = await disks.take(sizeMiB);
    return (file as unknown as { number: number }).number;
  };
  /** Lets the pause end, and waits until nothing is being made. */
  const refill = async () => {
    pauses.splice(0).forEach((end) => end());
    for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
  };
  return { disks, take, refill, facts, made, open };
}

describe('scratch disks', () => {
  it('are made ahead after a pause, two of the size that was taken last, and none is given twice', async () => {
    const { take, refill, made } = host();
    expect(await take(64)).toBe(1);
    expect(made).toEqual([64]);
    await refill();
    expect(made).toEqual([64, 64, 64]);
    expect([await take(64), await take(64), await take(64)]).toEqual([2, 3, 4]);
    await refill();
    expect(made).toHaveLength(6);
  });

  it('of another size are made when they are taken, and those that were made ahead are freed', async () => {
    const { take, refill, made, open } = host();
    await take(64);
    await refill();
    expect(await take(128)).toBe(4);
    expect([...open]).toEqual([1, 4]);
    await refill();
    expect(made.slice(4)).toEqual([128, 128]);
  });

  it('are made ahead only where no VM has reserved the space, and are freed when one does', async () => {
    const { take, refill, facts, made, open } = host();
    facts.freeMiB = 100;
    await take(64);
    await refill();
    expect(made).toEqual([64, 64]);
    facts.freeMiB = 10_000;
    await take(64);
    await refill();
    facts.freeMiB = 63;
    await take(64);
    expect(open.size).toBe(3); // those that were taken
  });

  it('that could not be made ahead are made when they are taken, and whoever takes them is told', async () => {
    const { take, refill, facts } = host();
    await take(64);
    facts.fails = true;
    await refill();
    await expect(take(64)).rejects.toThrow('ENOSPC');
    facts.fails = false;
    expect(await take(64)).toBe(2);
  });

  it('are freed at the end, also those that are being made', async () => {
    const { disks, take, refill, open } = host();
    await take(64);
    const refilled = refill();
    await disks.close();
    await refilled;
    expect([...open]).toEqual([1]);
  });
});
