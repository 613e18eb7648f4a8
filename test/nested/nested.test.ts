import { existsSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { busyboxImage } from '../../packages/executor/src/testing/test-images.ts';
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
  'the named Firecracker starts in the machine',
  { timeout: 60_000 },
  async () => {
    const { code, output } = await nested(`${firecracker} --version`);
    expect({ code, output }).toMatchObject({
      code: 0,
      output: expect.stringMatching(/^Firecracker v\d+\.\d+\.\d+/),
    });
  },
);
