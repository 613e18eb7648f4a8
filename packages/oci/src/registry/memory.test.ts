import { describe, expect, it } from 'vitest';
import { openFetchMemory } from './memory.ts';

const reference = `registry.test/tool@sha256:${'a'.repeat(64)}`;
const manifest = { digest: `sha256:${'b'.repeat(64)}`, size: 1 };
const auths = { 'registry.test': { auth: 'YTpi' } };
const open = () => {
  let now = 0;
  const clock = { now: () => now, bootTime: () => now, sleep: () => Promise.resolve() };
  return { memory: openFetchMemory(clock), pass: (ms: number) => (now += ms) };
};

describe('the answer of a registry', () => {
  it('holds for the same credentials and the same image, for ten minutes', () => {
    const { memory, pass } = open();
    memory.accept(reference, auths, manifest);
    pass(599_999);
    expect(memory.accepted(reference, auths)).toEqual(manifest);
    pass(1);
    expect(memory.accepted(reference, auths)).toBeNull();
  });

  it('does not last longer because it is used', () => {
    const { memory, pass } = open();
    memory.accept(reference, auths, manifest);
    for (let minute = 0; minute < 10; minute += 1) {
      expect(memory.accepted(reference, auths)).toEqual(manifest);
      pass(60_000);
    }
    expect(memory.accepted(reference, auths)).toBeNull();
  });

  it.each([
    ['another repository', `registry.test/other@${manifest.digest}`, auths],
    ['no credentials', reference, {}],
    ['another credential', reference, { 'registry.test': { auth: 'YTpj' } }],
    ['the same credential for another registry', reference, { 'other.test': { auth: 'YTpi' } }],
  ])('does not hold for %s', (_what, other, otherAuths) => {
    const { memory } = open();
    memory.accept(reference, auths, manifest);
    expect(memory.accepted(other, otherAuths)).toBeNull();
  });

  it('is forgotten after a thousand newer ones', () => {
    const { memory } = open();
    memory.accept(reference, auths, manifest);
    for (let n = 0; n < 1_000; n += 1) memory.accept(`registry.test/${n}`, auths, manifest);
    expect(memory.accepted(reference, auths)).toBeNull();
    expect(memory.accepted('registry.test/0', auths)).toEqual(manifest);
  });
});
