import type { z } from 'zod';
import type { dequeueRequestSchema } from '@fumehood/protocol';

type Request = z.output<typeof dequeueRequestSchema>;

/** What one job has on an executor of upstream's kind when that does not say. */
const usualMemoryBytes = 12 * 2 ** 30;
const usualDiskBytes = 20 * 2 ** 30;
/** More than any job asks for. */
const unbounded = 2 ** 31 - 1;

/** What fits there, as far as it says. */
export function freeOf({ numCPUs, memory, diskSpace }: Request) {
  const mebibytes = (bytes: number | null) => Math.min(unbounded, Math.floor((bytes || Infinity) / 2 ** 20));
  return { cpus: numCPUs || unbounded, memoryMiB: mebibytes(memory), scratchMiB: mebibytes(diskSpace) };
}

/** Variables that tell a step how big its machine is (reference §2.3). A size of 0 is not told. */
export function machineVariables({ numCPUs, memory, diskSpace }: Request): string[] {
  return [
    ...(numCPUs > 0 ? [`VM_CPUS=${numCPUs}`] : []),
    ...sizeVariables('VM_MEM', memory ?? usualMemoryBytes),
    ...sizeVariables('VM_DISK', diskSpace ?? usualDiskBytes),
  ];
}

function sizeVariables(name: string, bytes: number): string[] {
  if (bytes === 0) return [];
  const whole = (unit: number) => Math.floor(bytes / unit);
  return [`${name}=${readable(bytes)}`, `${name}_GB=${whole(2 ** 30)}`, `${name}_MB=${whole(2 ** 20)}`];
}

/** In the largest unit that it is more than one of. */
function readable(bytes: number): string {
  const exponent = [6, 5, 4, 3, 2, 1].find((power) => bytes > 1024 ** power);
  if (exponent === undefined) return `${bytes} B`;
  return `${(bytes / 1024 ** exponent).toFixed(1)} ${'KMGTPE'[exponent - 1]}B`;
}
