import { expect, it } from 'vitest';
import { goDurationMs, sizeMiB } from './upstream-values.ts';
import { readUpstreamVariables } from './upstream-variables.ts';

const least = {
  EXECUTOR_FRONTEND_URL: 'https://sourcegraph.example.com',
  EXECUTOR_FRONTEND_PASSWORD: 'hunter2-hunter2-hunter2',
  EXECUTOR_QUEUE_NAME: 'batches',
};
const order = (more: NodeJS.ProcessEnv) => readUpstreamVariables({ ...least, ...more }).order;
const mistakes = (environment: NodeJS.ProcessEnv) => {
  try {
    readUpstreamVariables(environment);
  } catch (error) {
    return (error as Error).message.split('\n').slice(1);
  }
  return [];
};

it('an address, a secret and a queue order an executor of an upstream instance, with its defaults', () => {
  expect(readUpstreamVariables({ ...least, PATH: '/bin', TMPDIR: '/tmp' })).toEqual({
    warnings: [],
    order: {
      instanceUrl: 'https://sourcegraph.example.com',
      password: 'hunter2-hunter2-hunter2',
      queues: 'batches',
      jobs: 1,
      ...{ cpus: null, memoryMiB: null, scratchMiB: null },
      deadlineMs: 1_800_000,
      mirrors: [],
      registryAuth: null,
    },
  });
});

it('what means the same here is taken over', () => {
  expect(
    order({
      EXECUTOR_QUEUE_NAME: '',
      EXECUTOR_QUEUE_NAMES: 'batches,codeintel',
      EXECUTOR_MAXIMUM_NUM_JOBS: '3',
      EXECUTOR_MAXIMUM_RUNTIME_PER_JOB: '1h30m',
      EXECUTOR_USE_FIRECRACKER: 'true',
      EXECUTOR_JOB_NUM_CPUS: '2',
      EXECUTOR_FIRECRACKER_NUM_CPUS: '8',
      EXECUTOR_FIRECRACKER_MEMORY: '6G',
      EXECUTOR_FIRECRACKER_DISK_SPACE: '10GB',
      EXECUTOR_DOCKER_REGISTRY_MIRROR_URL: 'http://10.0.0.1:5000,https://mirror.example.com/hub/',
      EXECUTOR_DOCKER_AUTH_CONFIG: '{"auths": {"index.docker.io": {"auth": "Zm9vYmFy"}}}',
    }),
  ).toMatchObject({
    queues: ['batches', 'codeintel'],
    jobs: 3,
    deadlineMs: 5_400_000,
    ...{ cpus: 2, memoryMiB: 6144, scratchMiB: 10_240 },
    mirrors: [
      { location: '10.0.0.1:5000', insecure: true },
      { location: 'mirror.example.com/hub', insecure: false },
    ],
    registryAuth: '{"auths":{"index.docker.io":{"auth":"Zm9vYmFy"}}}',
  });
});

it('all mistakes are named at once, and no value is shown', () => {
  expect(
    mistakes({ EXECUTOR_FRONTEND_URL: '', EXECUTOR_QUEUE_NAME: 'batches', EXECUTOR_QUEUE_NAMES: 'x' }),
  ).toEqual([
    'EXECUTOR_FRONTEND_URL is not set; it has to be https://HOST[:PORT], without a path',
    'EXECUTOR_FRONTEND_PASSWORD is not set; it has to be a secret of printable ASCII without blanks',
    'EXECUTOR_QUEUE_NAME and EXECUTOR_QUEUE_NAMES are both set',
  ]);
  const { EXECUTOR_QUEUE_NAME: _, ...withoutQueue } = least;
  expect(mistakes(withoutQueue)).toEqual([expect.stringContaining('neither EXECUTOR_QUEUE_NAME nor')]);
  expect(mistakes({ ...least, EXECUTOR_DOCKER_AUTH_CONFIG: '{"auths": "s3cret"' }).join()).not.toContain(
    's3cret',
  );
});

it.each([
  ['EXECUTOR_FRONTEND_URL', 'sourcegraph.example.com'],
  ['EXECUTOR_FRONTEND_URL', 'https://sourcegraph.example.com/path'],
  ['EXECUTOR_FRONTEND_URL', 'https://a:b@sourcegraph.example.com'],
  ['EXECUTOR_FRONTEND_PASSWORD', 'two words'],
  ['EXECUTOR_QUEUE_NAME', 'runs'],
  ['EXECUTOR_MAXIMUM_NUM_JOBS', '0'],
  ['EXECUTOR_MAXIMUM_RUNTIME_PER_JOB', '30'],
  ['EXECUTOR_USE_FIRECRACKER', 'yes'],
  ['EXECUTOR_JOB_NUM_CPUS', '3'],
  ['EXECUTOR_JOB_MEMORY', '12 gigabytes'],
  ['EXECUTOR_FIRECRACKER_DISK_SPACE', 'big'],
  ['EXECUTOR_DOCKER_REGISTRY_MIRROR_URL', 'mirror.example.com'],
  ['EXECUTOR_DOCKER_AUTH_CONFIG', '{}'],
])('%s=%s is refused by its name', (name, value) => {
  expect(mistakes({ ...least, [name]: value })).toEqual([expect.stringContaining(`${name} has to be `)]);
});

it.each([
  [{ ...least, EXECUTOR_QUEUE_NAME: '', EXECUTOR_QUEUE_NAMES: 'batches, codeintel' }],
  [{ ...least, EXECUTOR_QUEUE_NAME: '', EXECUTOR_QUEUE_NAMES: ',' }],
])('queues are separated by a comma alone', (environment) => {
  expect(mistakes(environment)).toEqual([expect.stringContaining('EXECUTOR_QUEUE_NAMES has to be ')]);
});

it('a variable that this executor does not act on is named with what to do instead', () => {
  const warnings = (environment: NodeJS.ProcessEnv) => readUpstreamVariables(environment).warnings;
  expect(warnings({ ...least, EXECUTOR_DOCKER_ADDITIONAL_MOUNTS: 'type=bind' })).toEqual([
    expect.stringMatching(/^EXECUTOR_DOCKER_ADDITIONAL_MOUNTS has no effect: .* put it into the image$/),
  ]);
  expect(warnings({ ...least, EXECUTOR_USE_FIRECRACKER: 'false' })).toEqual([
    expect.stringContaining('every job runs in a virtual machine'),
  ]);
  expect(warnings({ ...least, EXECUTOR_KUBERNETES_NAMESPACE: 'x', EXECUTOR_QUEUE_NAMED: 'x' })).toEqual([
    expect.stringContaining('Kubernetes'),
    expect.stringContaining('how it is spelled'),
  ]);
  expect(readUpstreamVariables({ EXECUTOR_JOB_MEMORY: '2G', PATH: '/bin' })).toEqual({
    order: null,
    warnings: [expect.stringContaining('no effect without EXECUTOR_FRONTEND_URL') as string],
  });
});

it('reads durations and sizes as upstream’s executors do', () => {
  expect(['0', '1s', '1.5s', '1h2m3s', '300ms', '-1s', '1', '1d', ''].map(goDurationMs)).toEqual([
    ...[0, 1_000, 1_500, 3_723_000, 300],
    ...[null, null, null, null],
  ]);
  expect(['12G', '512 MB', '1GiB', '1048576', '1', '1P', '-1G', ''].map(sizeMiB)).toEqual([
    ...[12_288, 512, 1024, 1],
    ...[null, null, null, null],
  ]);
});
