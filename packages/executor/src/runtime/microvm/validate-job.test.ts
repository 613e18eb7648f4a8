import type { ImageConfig } from '@fumehood/oci';
import type { Job } from '@fumehood/protocol';
import { describe, expect, it } from 'vitest';
import { upstreamJobsSchema } from '../../settings.ts';
import { testJob } from '../../testing/test-job.ts';
import { hasWorkspace, validateJob } from './validate-job.ts';
import { chooseTier, planDisks, vmSpec } from './vm-plan.ts';

const image = `blob:sha256:${'a'.repeat(64)}`;
const config: ImageConfig = { env: [], entrypoint: [], cmd: [], user: '', workingDir: '/' };
const host = {
  credential: { secret: 'our-own-credential' },
  upstream: upstreamJobsSchema.parse({}),
  network: true,
};
const validJob = () => testJob({ dockerSteps: [{ image }] });

describe('a leased job', () => {
  it('is accepted when everything in it is supported', () => {
    expect(validateJob(validJob(), host).dockerSteps).toHaveLength(1);
  });

  it('has a workspace when it has a repository, files or an archive of one', () => {
    const has = (job: Partial<Job>, workspace: string | null = null) =>
      hasWorkspace(
        validateJob(
          { ...testJob({ dockerSteps: [{ image }] }, { workspace }), ...job, commit: 'a'.repeat(40) },
          host,
        ),
      );
    const file = { content: new Uint8Array(), bucket: '', key: '', modifiedAt: '' };
    const archive = `sha256:${'0'.repeat(64)}`;
    expect(has({})).toBe(false);
    expect(has({ repositoryName: 'a' })).toBe(true);
    expect(has({ files: { a: file } })).toBe(true);
    expect(has({}, archive)).toBe(true);
    for (const more of [{ repositoryName: 'a' }, { files: { a: file } }])
      expect(() => has(more, archive)).toThrow('a repository or files beside it');
  });

  it('may name an image of a registry, and an image on the instance only if the instance is native', () => {
    const { fumehood: _ours, ...upstream } = validJob();
    const references = ['debian:12', 'registry.test:5000/a/b', `a@sha256:${'0'.repeat(64)}`];
    for (const reference of references)
      for (const job of [validJob(), upstream])
        expect(validateJob({ ...job, dockerSteps: [{ image: reference }] }, host).dockerSteps).toHaveLength(
          1,
        );
    expect(() => validateJob(upstream, host)).toThrow('names no image');
  });

  it('of an upstream instance reaches the public internet, where the executor has a network', () => {
    const { fumehood: _ours, ...job } = testJob({ dockerSteps: [{ image: 'debian:12' }], queue: 'batches' });
    expect(validateJob(job, host).fumehood.network).toEqual({ mode: 'public' });
    expect(validateJob(job, { ...host, network: false }).fumehood.network).toEqual({ mode: 'none' });
  });

  it.each<[string, Partial<Job>]>([
    ['has no steps', { dockerSteps: [] }],
    ['has steps of the `src` command', { cliSteps: [{ command: [] }] }],
    ['it wants the part', { sparseCheckout: ['a'] }],
    ['not one of the workspace', { repositoryDirectory: '../x' }],
    ['names no image', { dockerSteps: [{ image: '-v' }] }],
    ['names no image', { dockerSteps: [{ image: 'https://registry.test/a' }] }],
    ['40 hexadecimal digits', { repositoryName: 'a', commit: 'HEAD' }],
  ])('is refused with the error "%s"', (why, change) => {
    expect(() => validateJob({ ...validJob(), ...change }, host)).toThrow(why);
  });
});

describe('the tier', () => {
  it('is the strongest one that the job accepts and the executor offers', () => {
    expect(chooseTier(['vm-emulated', 'vm-hardware'], ['vm-emulated', 'vm-hardware'])).toBe('vm-hardware');
    expect(chooseTier(['vm-emulated', 'vm-pvm'], ['vm-emulated', 'vm-pvm'])).toBe('vm-pvm');
    expect(() => chooseTier(['vm-hardware'], ['vm-pvm'])).toThrow('accepts vm-hardware');
    expect(chooseTier(['vm-emulated'], ['vm-hardware', 'vm-emulated'])).toBe('vm-emulated');
    expect(() => chooseTier(['vm-hardware'], ['vm-emulated'])).toThrow('accepts vm-hardware');
    expect(() => chooseTier(['container'], ['container'])).toThrow('accepts container');
  });
});

describe('the disks', () => {
  it('have one slot each, and the workspace has the last one', () => {
    const root = { mode: 0o1777, uid: 5, gid: 6 };
    const plan = planDisks(
      ['a', 'b', 'a'].map((file) => ({ file, config: file === 'a' ? { ...config, root } : config })),
      'w',
    );
    expect(plan).toEqual({
      disks: ['a', 'b', 'w'],
      imageSlots: [0, 1, 0],
      imageRoots: [root, { mode: 0o755, uid: 0, gid: 0 }, root],
      workspaceSlot: 2,
      tools: null,
    });
    expect(planDisks([{ file: 'a', config }], null).workspaceSlot).toBeNull();
  });

  it('have room for the tools of this host behind the workspace, and not for more images than a VM has disks', () => {
    const images = (count: number) =>
      Array.from({ length: count }, (_, at) => ({ file: String(at), config }));
    const tools = { file: 't', repository: 'repository' };
    expect(planDisks(images(16), 'w', tools)).toMatchObject({
      workspaceSlot: 16,
      tools: { slot: 17, repository: 'repository' },
    });
    expect(() => planDisks(images(17), 'w', tools)).toThrow('17 images, and a VM has room for 16');
  });
});

describe('the spec of a VM', () => {
  it('has a new id for every boot', () => {
    const plan = planDisks([{ file: 'a', config }], null);
    const [one, two] = [1, 2].map(() => vmSpec(validateJob(validJob(), host), 'vm-emulated', plan));
    expect(one?.id).toMatch(/^j5-a1-[0-9a-f]{8}$/);
    expect(one?.id).not.toBe(two?.id);
    expect(one).toMatchObject({ acceleration: 'emulated', cpus: 1, memoryMiB: 256, disks: ['a'] });
  });
});
