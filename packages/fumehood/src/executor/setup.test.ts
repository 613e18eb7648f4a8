import { vmmMemoryMiB } from '@fumehood/microvm';
import { expect, it } from 'vitest';
import { settingsOfOrder } from './setup.ts';
import { readUpstreamVariables, type UpstreamOrder } from './upstream-variables.ts';

const order = (more: NodeJS.ProcessEnv = {}) =>
  readUpstreamVariables({
    EXECUTOR_FRONTEND_URL: 'https://sourcegraph.example.com',
    EXECUTOR_FRONTEND_PASSWORD: 'secret',
    EXECUTOR_QUEUE_NAME: 'codeintel',
    EXECUTOR_MAXIMUM_NUM_JOBS: '2',
    ...more,
  }).order as UpstreamOrder;
const host = {
  tiers: ['vm-hardware', 'vm-emulated'],
  resources: { cpus: 2, memoryMiB: 16_384, scratchMiB: 8_192 },
  registries: [{ location: 'registry.example.com', insecure: true }],
} as const;
const settings = (more?: NodeJS.ProcessEnv) =>
  settingsOfOrder(order(more), ['vm-hardware'], {
    ...host,
    tiers: [...host.tiers],
    registries: [...host.registries],
  });

it('each job gets what the variables say, or upstream’s default as far as the machine has it', () => {
  const said = settings({
    EXECUTOR_JOB_NUM_CPUS: '4',
    EXECUTOR_JOB_MEMORY: '2G',
    EXECUTOR_FIRECRACKER_DISK_SPACE: '1G',
  });
  expect(said).toMatchObject({
    queues: 'codeintel',
    upstream: { accept: ['vm-hardware'], resources: { cpus: 4, memoryMiB: 2048, scratchMiB: 1024 } },
    resources: { cpus: 8, memoryMiB: 2 * (2048 + vmmMemoryMiB), scratchMiB: 2048 },
  });
  expect(settings().upstream?.resources).toMatchObject({
    memoryMiB: 8_192 - vmmMemoryMiB,
    scratchMiB: 4_096,
  });
});

it('a mirror of Docker Hub comes beside the registries of settings.json', () => {
  expect(settings({ EXECUTOR_DOCKER_REGISTRY_MIRROR_URL: 'http://10.0.0.1:5000' }).registries).toEqual([
    { location: 'registry.example.com', insecure: true },
    { location: 'docker.io', mirrors: [{ location: '10.0.0.1:5000', insecure: true }] },
  ]);
});

it('what the machine does not have is refused', () => {
  expect(() => settings({ EXECUTOR_JOB_MEMORY: '8G' })).toThrow('MiB of memory for each of 2 jobs');
  expect(() => settings({ EXECUTOR_FIRECRACKER_DISK_SPACE: '5G' })).toThrow('MiB of disk for each of 2 jobs');
  expect(() => settings({ EXECUTOR_MAXIMUM_NUM_JOBS: '100' })).toThrow('MiB of memory');
});

it('a tier that jobs would not get from others has to be accepted', () => {
  const emulated = { ...host, registries: [], tiers: ['vm-emulated' as const] };
  expect(() => settingsOfOrder(order(), ['vm-hardware'], emulated)).toThrow('offers vm-emulated, and jobs');
  const accepted = settingsOfOrder(order(), ['vm-emulated'], emulated);
  expect(accepted.upstream).toMatchObject({ accept: ['vm-emulated'] });
});
