import type { ImageConfig } from '@glovebox/oci';
import type { Job } from '@glovebox/protocol';
import { describe, expect, it } from 'vitest';
import { upstreamJobsSchema } from '../../agent/config.ts';
import { testJob } from '../../testing/job.ts';
import { chooseTier, hasWorkspace, planDisks, runnable, vmSpec } from './plan.ts';

const image = `blob:sha256:${'a'.repeat(64)}`;
const config: ImageConfig = { env: [], entrypoint: [], cmd: [], user: '', workingDir: '/' };
const host = { credential: { secret: 'our-own-credential' }, upstream: upstreamJobsSchema.parse({}) };
const good = () => testJob({ dockerSteps: [{ image }] });

describe('a job', () => {
  it('is taken when everything in it is understood', () => {
    expect(runnable(good(), host).dockerSteps).toHaveLength(1);
  });

  it.each<[string, Partial<Job>]>([
    ['has no steps', { dockerSteps: [] }],
    ['has steps of the `src` command', { cliSteps: [{ command: [] }] }],
    ['part of the repository', { sparseCheckout: ['a'] }],
    ['values to hide', { redactedValues: { secret: 'x' } }],
    ['not one that was put on the instance', { dockerSteps: [{ image: 'debian:12' }] }],
    ['40 hexadecimal digits', { repositoryName: 'a', commit: 'HEAD' }],
  ])('that %s is refused', (why, change) => {
    expect(() => runnable({ ...good(), ...change }, host)).toThrow(why);
  });
});

describe('a job of an instance of upstream’s kind', () => {
  const line = `src code-intel upload -repo a -commit ${'a'.repeat(40)} -root . -upload-route /.executors/scip/upload -file i -associated-index-id 5`;
  const upload = {
    ...{ key: 'upload', image: 'sourcegraph/src-cli:5.3.0', commands: [line], dir: '' },
    env: ['SRC_ENDPOINT=http://x', 'SRC_HEADER_AUTHORIZATION=token-executor 0123456789abcdef'],
  };
  const upstreamJob = (change: Partial<Job>) => {
    const { glovebox: _, ...job } = { ...good(), repositoryName: 'a', commit: 'a'.repeat(40), ...change };
    return job;
  };

  it('may be given what it does not say by the admin alone: real isolation where nothing is said', () => {
    expect(host.upstream).toEqual({
      accept: ['vm-hardware'],
      resources: { cpus: 4, memoryMiB: 12_288, scratchMiB: 20_480 },
      deadlineMs: 1_800_000,
      exposeCredentials: false,
    });
  });

  it.each<[string, Partial<Job>]>([
    ['the image debian:12', { dockerSteps: [{ image: 'debian:12' }, upload] }],
    ['is not one that was put on the instance', { dockerSteps: [{ image }] }],
    ['has steps of the `src` command', { cliSteps: [{ command: ['batch', 'exec'] }] }],
    ['part of the repository', { sparseCheckout: ['a'] }],
    ['in a directory of the workspace', { repositoryDirectory: 'repository' }],
    ['tags', { fetchTags: true }],
    ['whole history', { shallowClone: false }],
    ['has no steps', { dockerSteps: [upload] }],
    ['a credential of its instance', { dockerSteps: [{ ...upload, image: 'other' }] }],
    ['a credential of its instance', { dockerSteps: [{ image, env: ['A=our-own-credential'] }] }],
  ])('is refused where it needs what this executor cannot do: %s', (why, change) => {
    expect(() => runnable(upstreamJob(change), host)).toThrow(why);
  });
});

describe('the files of a job', () => {
  const file = { content: new Uint8Array(), bucket: '', key: '', modifiedAt: '' };

  it('L11: that are not below its workspace are refused', () => {
    for (const path of ['../x', '/x', 'a/../x', 'a//x', './x', '', 'a\0'])
      expect(() => runnable({ ...good(), files: { [path]: file } }, host)).toThrow('not below the workspace');
  });

  it('that cannot be there together are refused', () => {
    expect(() => runnable({ ...good(), files: { a: file, 'a/b': file } }, host)).toThrow(
      'below another file',
    );
    const many = Object.fromEntries(Array.from({ length: 10_001 }, (_, index) => [String(index), file]));
    expect(() => runnable({ ...good(), files: many }, host)).toThrow('10001 extra files');
  });

  it('give its steps a workspace', () => {
    expect(hasWorkspace({ repositoryName: '', files: {} })).toBe(false);
    expect(hasWorkspace({ repositoryName: '', files: { a: file } })).toBe(true);
  });
});

describe('the tier', () => {
  it('is the strongest that both sides name, never a weaker one', () => {
    expect(chooseTier(['vm-emulated', 'vm-hardware'], ['vm-emulated', 'vm-hardware'])).toBe('vm-hardware');
    expect(chooseTier(['vm-emulated'], ['vm-hardware', 'vm-emulated'])).toBe('vm-emulated');
    expect(() => chooseTier(['vm-hardware'], ['vm-emulated'])).toThrow('accepts vm-hardware');
    expect(() => chooseTier(['container'], ['container'])).toThrow('accepts container');
  });
});

describe('the disks', () => {
  it('are each there once, the workspace last', () => {
    const plan = planDisks(
      ['a', 'b', 'a'].map((file) => ({ file, config })),
      ['files', 'commit'],
    );
    expect(plan).toEqual({
      disks: ['a', 'b', 'files', 'commit'],
      imageSlots: [0, 1, 0],
      workspaceSlots: [2, 3],
    });
    expect(planDisks([{ file: 'a', config }], []).workspaceSlots).toEqual([]);
  });
});

describe('the virtual machine', () => {
  it('has an id of its own for every try', () => {
    const plan = planDisks([{ file: 'a', config }], []);
    const [one, two] = [1, 2].map(() => vmSpec(runnable(good(), host), 'vm-emulated', plan));
    expect(one?.id).toMatch(/^j5-a1-[0-9a-f]{8}$/);
    expect(one?.id).not.toBe(two?.id);
    expect(one).toMatchObject({ acceleration: 'emulated', cpus: 1, memoryMiB: 256, disks: ['a'] });
  });
});
