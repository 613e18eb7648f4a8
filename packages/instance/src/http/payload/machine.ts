import type { z } from 'zod';
import type { dequeueRequestSchema } from '@fumehood/protocol';

type DequeueBody = z.output<typeof dequeueRequestSchema>;

/** The size of a job's machine on an executor of upstream's kind that does not name it. */
const usualMemoryBytes = 12 * 2 ** 30;
const usualDiskBytes = 20 * 2 ** 30;
/** Larger than any job asks for. */
const unbounded = 2 ** 31 - 1;

/** Returns the largest job that fits on an executor of upstream's kind, by the size it names. */
export function freeOf({ numCPUs, memory, diskSpace }: DequeueBody) {
  const mebibytes = (bytes: number | null) => Math.min(unbounded, Math.floor((bytes || Infinity) / 2 ** 20));
  return { cpus: numCPUs || unbounded, memoryMiB: mebibytes(memory), scratchMiB: mebibytes(diskSpace) };
}

/** Returns upstream's variables `VM_…`, which tell a step of an indexing job the size of its machine. A size of 0 has no variable. */
export function machineVariables({
  numCPUs,
  memory,
  diskSpace,
}: Pick<DequeueBody, 'numCPUs' | 'memory' | 'diskSpace'>): string[] {
  return [
    ...(numCPUs > 0 ? [`VM_CPUS=${numCPUs}`] : []),
    ...sizeVariables('VM_MEM', memory ?? usualMemoryBytes),
    ...sizeVariables('VM_DISK', diskSpace ?? usualDiskBytes),
  ];
}

function sizeVariables(name: string, bytes: number): string[] {
  if (bytes === 0) return [];
  const whole = (unit: number) => Math.floor(bytes / unit);
  return [`${name}=${formatSize(bytes)}`, `${name}_GB=${whole(2 ** 30)}`, `${name}_MB=${whole(2 ** 20)}`];
}

/** Writes a size in the largest unit that it is more than one of. */
function formatSize(bytes: number): string {
  const exponent = [6, 5, 4, 3, 2, 1].find((power) => bytes > 1024 ** power);
  if (exponent === undefined) return `${bytes} B`;
  return `${(bytes / 1024 ** exponent).toFixed(1)} ${'KMGTPE'[exponent - 1]}B`;
}
