import { dequeueRequestSchema } from '@fumehood/protocol';
import { expect, test } from 'vitest';
import { freeOf, machineVariables } from './machine.ts';

const machine = (size: object) => dequeueRequestSchema.parse({ executorName: 'e', ...size });

test('an executor that does not say its size has the usual one', () => {
  expect(machineVariables(machine({}))).toEqual([
    'VM_MEM=12.0 GB',
    'VM_MEM_GB=12',
    'VM_MEM_MB=12288',
    'VM_DISK=20.0 GB',
    'VM_DISK_GB=20',
    'VM_DISK_MB=20480',
  ]);
});

test('a size has variables in three units', () => {
  expect(machineVariables(machine({ numCPUs: 4, memory: '1536M', diskSpace: '1G' }))).toEqual([
    'VM_CPUS=4',
    'VM_MEM=1.5 GB',
    'VM_MEM_GB=1',
    'VM_MEM_MB=1536',
    'VM_DISK=1024.0 MB',
    'VM_DISK_GB=1',
    'VM_DISK_MB=1024',
  ]);
});

test('a size of 0 has no variables', () => {
  expect(machineVariables(machine({ memory: '0 KB', diskSpace: '0 KB' }))).toEqual([]);
});

test('an executor gets jobs that fit into the size it says', () => {
  expect(freeOf(machine({ numCPUs: 2, memory: '1536M', diskSpace: '1G' }))).toEqual({
    ...{ cpus: 2, memoryMiB: 1536, scratchMiB: 1024 },
  });
  const unbounded = 2 ** 31 - 1;
  expect(freeOf(machine({ memory: '0 KB' }))).toEqual({
    ...{ cpus: unbounded, memoryMiB: unbounded, scratchMiB: unbounded },
  });
});
