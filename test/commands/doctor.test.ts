import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { busyboxImage } from '../../packages/executor/src/testing/test-images.ts';
import { Stack } from '../stack.ts';

interface Doctor {
  readonly tiers: readonly string[];
  readonly findings: readonly { check: string; ok: boolean; detail: string; remedy?: string }[];
}

let stack: Stack;
beforeAll(async () => {
  stack = await Stack.make();
});
afterAll(() => stack.stop());

async function examine(): Promise<Doctor> {
  const { code, stdout, stderr } = await stack.fumehood(['doctor', '--json']);
  expect(code, stderr).toBe(0);
  return JSON.parse(stdout) as Doctor;
}

test('lists exactly the tiers in which jobs run', async () => {
  const { tiers, findings } = await examine();
  expect(tiers).toContain('vm-emulated');
  const vmm = findings.find(({ check }) => check === 'virtual machine monitor');
  expect(vmm?.ok).toBe(true);
  expect(vmm?.detail).toMatch(/^(QEMU \d\S+ .* runs all; Firecracker does not: |Firecracker \d)/);
  await refusesFirecracker(vmm?.detail ?? '');
  const { file } = await busyboxImage(stack.state, 'plain');
  for (const tier of tiers) {
    const accept = tier === 'vm-hardware' ? [] : ['--accept', tier];
    const ran = await stack.fumehood(['run', '--json', ...accept, `docker-archive:${file}`, '--', 'id']);
    expect(ran.code, ran.stderr).toBe(0);
    // With hardware virtualization, a job gets the strongest tier that it accepts.
    const job = ran.stdout.trimEnd().split('\n').at(-1) ?? ''; // the lines before tell how the image is sent
    expect(JSON.parse(job)).toMatchObject({
      tier: tiers.includes('vm-hardware') ? 'vm-hardware' : tier,
    });
  }
  // Of the processor, or on a host like that by PVM.
  const kvm = findings.find(({ check }) => /^(hardware virtualization|virtualization by PVM)$/.test(check));
  expect(kvm?.ok).toBe(tiers.some((tier) => tier === 'vm-hardware' || tier === 'vm-pvm'));
  if (!kvm?.ok) expect(kvm?.remedy).toContain('--accept vm-emulated');
});

/** Where Firecracker cannot be used, an order of Firecracker alone starts nothing. */
async function refusesFirecracker(detail: string): Promise<void> {
  const [, why] = /Firecracker does not: (.*)$/.exec(detail) ?? [];
  if (why === undefined) return; // it can be used here
  const refused = await stack.fumehood(['up', '--vmm', 'firecracker']);
  expect(refused).toMatchObject({ code: 1, stdout: '' });
  expect(refused.stderr).toContain(`it cannot be used: ${why}\n  Run \``);
  for (const name of ['instance', 'executor'])
    expect(existsSync(join(stack.state, 'run', `${name}-helper.json`))).toBe(false);
}

/** On some machines /dev/kvm opens and makes a VM that then cannot run. QEMU alone shows whether this is such a machine. */
test.skipIf(process.getuid?.() !== 0)(
  'does not take a /dev/kvm that opens as proof of hardware virtualization',
  async () => {
    const bare = ['-accel', 'kvm', '-cpu', 'host', '-M', 'microvm', '-nodefaults', '-display', 'none'];
    let works = true;
    try {
      execFileSync('timeout', ['2', '/usr/bin/qemu-system-x86_64', ...bare], { stdio: 'pipe' });
    } catch (error) {
      works = (error as { status: number }).status === 124; // stopped by `timeout`
    }
    const { tiers } = await examine();
    if (!works) expect(tiers).not.toContain('vm-hardware');
    else expect(tiers).toContain('vm-hardware');
  },
);
