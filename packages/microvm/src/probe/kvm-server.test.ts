import { expect, it } from 'vitest';
import { kernelMissing, kvmServer } from './kvm-server.ts';

const intel = 'model name\t: X\nflags\t\t: fpu vme vmx smx\n';
const amd = 'flags\t\t: fpu svm\n';
const none = 'model name\t: vmx\nflags\t\t: fpu vme svmx\n';

it.each([
  ['the module of the processor', ['kvm', 'kvm_intel'], intel, false, 'hardware'],
  ['that module, and a guest kernel is named', ['kvm', 'kvm_amd'], amd, true, 'hardware'],
  ['no module by that name', [], none, false, 'hardware'],
  ['PVM, on a processor without virtualization', ['kvm', 'kvm_pvm'], none, false, 'pvm'],
  ['PVM, for a named guest kernel', ['kvm', 'kvm_pvm'], none, true, 'pvm'],
  ['one of two, on which Debian’s kernel runs', ['kvm', 'kvm_intel', 'kvm_pvm'], intel, false, 'hardware'],
  ['one of two, on which a named kernel runs', ['kvm', 'kvm_amd', 'kvm_pvm'], amd, true, 'pvm'],
] as const)('takes /dev/kvm to be served by %s', (_what, modules, processor, namedKernel, server) => {
  expect(kvmServer({ modules, processor, namedKernel })).toBe(server);
});

it('says what a host with PVM would gain from a kernel for it, and only there', () => {
  expect(kernelMissing('pvm', false)).toMatchObject({
    ok: false,
    detail: expect.stringContaining('kvm_pvm'),
    remedy: expect.stringMatching(/tier vm-pvm.*FUMEHOOD_GUEST_KERNEL/),
  });
  for (const [server, named] of [
    ['pvm', true],
    ['hardware', false],
    ['hardware', true],
  ] as const)
    expect(kernelMissing(server, named)).toBeNull();
});
