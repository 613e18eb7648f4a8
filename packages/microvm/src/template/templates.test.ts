import { describe, expect, it, vi } from 'vitest';
import { guestNotReady } from '../errors.ts';
import type { Shape, Template } from './template.ts';
import { openTemplates, retryMs } from './templates.ts';

const shape = (memoryMiB: number): Shape => ({ acceleration: 'emulated', cpus: 1, memoryMiB });

/** Templates of a host whose VMs are made up: `made` and `removed` are the sizes in order. */
function host(memoryMiB: number, fails: (size: number) => boolean = () => false) {
  const made: number[] = [];
  const removed: number[] = [];
  const facts = { now: 1_000, inputs: 'guest 1', making: 0, mostMaking: 0 };
  const make = async ({ memoryMiB: size }: Shape): Promise<Template> => {
    facts.mostMaking = Math.max(facts.mostMaking, ++facts.making);
    await new Promise((resolve) => setImmediate(resolve));
    facts.making--;
    made.push(size);
    if (fails(size)) throw guestNotReady('init did not answer');
    const files = {} as Template['files'];
    return { id: `template-${made.length}`, files, remove: async () => void removed.push(size) };
  };
  const inputs = async () => facts.inputs;
  const templates = openTemplates({ memoryMiB, make, inputs, clock: { bootTime: () => facts.now } });
  /** Takes a template and releases it. Resolves with its id, or with why there is none. */
  const use = async (size: number) => {
    const taken = await templates.take(shape(size));
    if (!taken.template) return taken.why;
    taken.release();
    return taken.template.id;
  };
  return { templates, made, removed, facts, use };
}

describe('a template', () => {
  it('is made once for all VMs of its shape, also for those that ask at the same time', async () => {
    const { use, made } = host(1000);
    expect(await Promise.all([use(256), use(256), use(256)])).toEqual(Array(3).fill('template-1'));
    expect(await use(256)).toBe('template-1');
    expect(await use(512)).toBe('template-2');
    expect(made).toEqual([256, 512]);
  });

  it('is made when no other one is being made', async () => {
    const { use, facts } = host(1000);
    await Promise.all([use(128), use(256), use(512)]);
    expect(facts.mostMaking).toBe(1);
  });

  it('is made again when the guest image or the VMM has changed', async () => {
    const { use, facts } = host(1000);
    expect(await use(256)).toBe('template-1');
    facts.inputs = 'guest 2';
    expect(await use(256)).toBe('template-2');
  });

  it('that cannot be made is one failure for all who wait, and is tried again after a pause', async () => {
    let broken = true;
    const { use, made, facts } = host(1000, () => broken);
    const why = await Promise.all([use(256), use(256)]);
    for (const reason of why) expect(reason).toContain('no template could be made');
    expect(await use(256)).toContain('init did not answer');
    expect(made).toHaveLength(1);
    broken = false;
    facts.now += retryMs;
    expect(await use(256)).toBe('template-2');
  });
});

describe('the memory of templates', () => {
  it('is freed by the one that was used the longest time ago when another one needs it', async () => {
    const { use, made, removed } = host(1000);
    for (const size of [300, 400, 300]) await use(size);
    expect(await use(500)).toBe('template-3');
    await vi.waitUntil(() => removed.length > 0);
    expect(removed).toEqual([400]);
    expect(await use(300)).toBe('template-1');
    expect(made).toEqual([300, 400, 500]);
  });

  it('is not taken from a template that a clone uses: a VM of another shape boots, and is told why', async () => {
    const { templates, use, removed } = host(1000);
    const taken = await templates.take(shape(600));
    expect(await use(500)).toBe(
      'no template of 500 MiB fits: templates may use 1000 MiB, and those in use take 600 MiB',
    );
    if (taken.template) taken.release();
    expect(await use(500)).toBe('template-2');
    await vi.waitUntil(() => removed.length > 0);
    expect(removed).toEqual([600]);
  });

  it('is not taken by a template that is larger than all of it', async () => {
    const { use, made } = host(1000);
    expect(await use(1001)).toContain('no template of 1001 MiB fits');
    expect(made).toEqual([]);
  });

  it('is freed when all templates are removed', async () => {
    const { templates, use, removed } = host(1000);
    await Promise.all([use(300), use(400)]);
    await templates.removeAll();
    expect(new Set(removed)).toEqual(new Set([300, 400]));
  });
});
