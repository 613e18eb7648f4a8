import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { busyboxImage } from '../../packages/executor/src/testing/test-images.ts';
import { testGuest } from '../../packages/executor/src/testing/test-guest.ts';
import { Stack } from '../stack.ts';
import { type NestedOutcome, runNested } from './machine.ts';

/** The path of a Firecracker binary: `FUMEHOOD_FIRECRACKER=… npm run test:nested`. The machine sees it under the same path. */
const firecracker = process.env.FUMEHOOD_FIRECRACKER ?? '';

let stack: Stack;
beforeAll(async () => {
  if (firecracker !== '') expect(existsSync(firecracker), 'FUMEHOOD_FIRECRACKER must name a file').toBe(true);
  stack = await Stack.make();
  // What the command line builds once is built here, where it is quick. The verdict on this machine does not hold in the nested one.
  expect((await stack.fumehood(['doctor'])).code).toBe(0);
});
afterAll(() => stack.stop());

/** Runs a shell script in the machine, in which `fumehood` is the command line. */
function nested(script: string): Promise<NestedOutcome> {
  const command = `fumehood() { node packages/fumehood/bin/fumehood.mjs "$@"; }; ${script}`;
  return runNested(['sh', '-c', command], {
    env: { FUMEHOOD_STATE: stack.state },
    timeoutMs: 280_000,
    onOutput: (chunk) => void process.stdout.write(chunk),
  });
}

test('the exit code and the output of a command come out of the machine, and what it wrote does not', async () => {
  const { code, output } = await nested(
    `echo to stdout; echo to stderr >&2; touch ${stack.state}/written; exit 7`,
  );
  expect({ code, output }).toEqual({ code: 7, output: 'to stdout\nto stderr\n' });
  expect(existsSync(`${stack.state}/written`)).toBe(false);
});

test('a canary runs on the machine’s /dev/kvm, and a job runs there in tier vm-hardware and leaves nothing', {
  timeout: 300_000,
}, async () => {
  const { file } = await busyboxImage(stack.state, 'plain');
  const { code, output } = await nested(`
    fumehood up || exit
    fumehood run --json docker-archive:${file} -- sh -c 'echo out of the guest; exit 3'; echo "exit code $?"
    fumehood down`);
  expect(code, output).toBe(0);
  expect(output).toContain('; this machine offers vm-hardware');
  expect(output).toMatch(/^out of the guest$/m);
  expect(output).toMatch(/^exit code 3$/m);
  const record = JSON.parse(/^\{"id":.*$/m.exec(output)?.[0] ?? '{}') as Record<string, unknown>;
  expect(record).toMatchObject({ tier: 'vm-hardware', vmm: 'qemu', attempt: 1, exitCode: 3 });
  const leftOver = { processes: 0, mounts: 0, namespaces: 0, loopDevices: 0, cgroups: 0, files: 0 };
  expect(record.leftOver).toEqual(leftOver);
});

test.runIf(firecracker !== '')(
  'the named Firecracker boots the guest image, saves it, and loads it into a second process, under its filter',
  { timeout: 120_000 },
  async () => {
    const { kernel, initramfs } = await testGuest(join(stack.state, 'guest'));
    const { code, output } = await nested(
      `node test/nested/firecracker.ts ${firecracker} ${kernel} ${initramfs}`,
    );
    expect(code, output).toBe(0);
    const seen = JSON.parse(output.trimEnd().split('\n').at(-1) as string) as Record<string, unknown>;
    expect(seen).toMatchObject({
      version: expect.stringMatching(/^1\.\d+\.\d+/) as string,
      refused: expect.stringContaining('PUT /drives/disk1 failed: ') as string,
      afterEnd: expect.stringContaining('closed') as string,
    });
    // The filter of a build without one is empty. The main thread has none before the guest starts.
    expect(new Set([seen.seccomp, seen.cloneSeccomp].flat())).toEqual(new Set([2]));
  },
);
