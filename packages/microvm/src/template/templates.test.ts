import { describe, expect, it, vi } from 'vitest';
import { templateFailed } from '../errors.ts';
import type { Shape, Template } from './template.ts';
import { ageMaxMs, openTemplates, retryMs } from './templates.ts';

const shape = (memoryMiB: number): Shape => ({ acceleration: 'emulated', cpus: 1, memoryMiB, slots: 4 });

/** Templates of a host whose VMs are made up: `made` and `removed` are the sizes in order. */
function host(memoryMiB: number, fails: (size: number) => boolean = () => false) {
  const made: number[] = [];
  const failures: string[] = [];
  const removed: number[] = [];
  const facts = { now: 1_000, inputs: 'guest 1', making: 0, mostMaking: 0 };
  /** Makes templates wait until `go` is called. */
  const gate = { closed: Promise.resolve(), go: () => {} };
  const close = () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    Object.assign(gate, { closed: promise, go: resolve });
  };
  const make = async ({ memoryMiB: size }: Shape): Promise<Template> => {
    facts.mostMaking = Math.max(facts.mostMaking, ++facts.making);
    await new Promise((resolve) => setImmediate(resolve));
    await gate.closed;
    facts.making--;
    made.push(size);
    if (fails(size)) throw templateFailed('not_ready', 'init did not answer');
    const files = {} as Template['files'];
    return { id: `template-${made.length}`, files, remove: async () => void removed.push(size) };
  };
  const inputs = async () => facts.inputs;
  const templates = openTemplates({
    ...{ memoryMiB, make, inputs, clock: { bootTime: () => facts.now } },
    onFailure: (_shape, { message }) => void failures.push(message),
  });
  /** Takes a template and releases it. Resolves with its id, or with why there is none. */
  const use = async (size: number) => {
    const taken = await templates.take(shape(size));
    if (!taken.template) return `${taken.why.code}: ${taken.why.message}`;
    taken.release();
    return taken.template.id;
  };
  return { templates, made, removed, failures, facts, close, gate, use };
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

  it('that cannot be made is one failure for all who wait, and VMs boot while it is made again', async () => {
    let broken = true;
    const { use, made, failures, close, gate } = host(1000, () => broken);
    const why = await Promise.all([use(256), use(256)]);
    close();
    broken = false;
    const failed = 'template_not_ready: no template could be made: init did not answer';
    expect([...why, await use(256)]).toEqual([failed, failed, `${failed}; it is being made again`]);
    expect(failures).toEqual(['no template could be made: init did not answer']);
    gate.go();
    await expect.poll(() => use(256)).toBe('template-2');
    expect(made).toHaveLength(2);
  });

  it('that cannot be made twice is tried again after a pause', async () => {
    let broken = true;
    const { use, made, failures, facts } = host(1000, () => broken);
    await use(256);
    await vi.waitUntil(() => failures.length === 2);
    expect(await use(256)).toBe('template_not_ready: no template could be made: init did not answer');
    facts.now += retryMs - 1;
    await use(256);
    expect(made).toHaveLength(2);
    broken = false;
    facts.now += 1;
    expect(await use(256)).toBe('template-3');
  });

  it('that failed is not made again when all are removed', async () => {
    const { templates, use, made, facts, close, gate } = host(1000, () => true);
    close();
    const waiting = use(256);
    await vi.waitUntil(() => facts.making === 1);
    const removed = templates.removeAll();
    gate.go();
    await Promise.all([waiting, removed]);
    expect(made).toHaveLength(1);
  });

  it('that is too old is made again, but not while clones use it', async () => {
    const { templates, use, removed, facts } = host(300);
    const taken = await templates.take(shape(256));
    facts.now += ageMaxMs;
    expect(await use(256)).toBe('template-1');
    facts.now += 1;
    expect(await use(256)).toContain('template_too_old: its template was made 24 h ago');
    if (taken.template) taken.release();
    expect(await use(256)).toBe('template-2');
    expect(removed).toEqual([256]);
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
      'template_no_room: no template of 500 MiB fits: templates may use 1000 MiB, and those in use take 600 MiB',
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
