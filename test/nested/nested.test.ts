import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { busyboxImage } from '../../packages/executor/src/testing/test-images.ts';
import { testGuest } from '../../packages/executor/src/testing/test-guest.ts';
import { buildImage } from '../../packages/fumehood/src/images/recipes.ts';
import { openState } from '../../packages/fumehood/src/state/state.ts';
import { Stack } from '../stack.ts';
import { type NestedOutcome, runNested } from './machine.ts';

/** The path of a Firecracker binary: `FUMEHOOD_FIRECRACKER=… npm run test:nested`. The machine sees it under the same path. */
const firecracker = process.env.FUMEHOOD_FIRECRACKER ?? '';
const named = firecracker === '' ? {} : { FUMEHOOD_FIRECRACKER: firecracker };

let stack: Stack;
let image: string;
beforeAll(async () => {
  if (firecracker !== '') expect(existsSync(firecracker), 'FUMEHOOD_FIRECRACKER must name a file').toBe(true);
  stack = await Stack.make();
  // What the command line builds once is built here, where it is quick. The verdict on this machine does not hold in the nested one.
  expect((await stack.fumehood(['doctor'])).code).toBe(0);
  // The machine has no network.
  image = (await busyboxImage(stack.state, 'plain')).file;
  await buildImage('scip-typescript', openState({ FUMEHOOD_STATE: stack.state }, 0), () => {});
  makeRepository(join(stack.state, 'repository'));
});
afterAll(() => stack.stop());

/** Makes a git repository with two files, of which the second uses a function of the first. */
function makeRepository(path: string): void {
  const files = {
    'package.json': '{ "name": "nested", "version": "1.0.0" }',
    'tsconfig.json': '{ "compilerOptions": { "module": "es2022", "strict": true } }',
    'one.ts': 'export function one(): number {\n  return 1;\n}\n',
    'two.ts': "import { one } from './one';\nexport const two = one() + one();\n",
  };
  mkdirSync(path);
  for (const [name, text] of Object.entries(files)) writeFileSync(join(path, name), text);
  const git = (...args: string[]) => execFileSync('git', ['-C', path, ...args], { stdio: 'pipe' });
  git('init', '-q');
  git('add', '-A');
  git('-c', 'user.name=t', '-c', 'user.email=t@t', 'commit', '-qm', 'first');
}

/** Runs a shell script in the machine, in which `fumehood` is the command line. */
function nested(script: string, timeoutMs = 120_000): Promise<NestedOutcome> {
  const command = `fumehood() { node packages/fumehood/bin/fumehood.mjs "$@"; }; ${script}`;
  return runNested(['sh', '-c', command], {
    env: { FUMEHOOD_STATE: stack.state, ...named },
    timeoutMs,
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

test('every VMM keeps its contract on hardware virtualization', { timeout: 620_000 }, async () => {
  const { code, output } = await runNested(['npx', 'vitest', 'run', '--project', 'contract'], {
    env: { FUMEHOOD_ACCELERATION: 'kvm', ...named },
    timeoutMs: 600_000,
    onOutput: (chunk) => void process.stdout.write(chunk),
  });
  expect(code, output).toBe(0);
});

const vmms = firecracker === '' ? ['qemu'] : ['qemu', 'firecracker'];
test(`a canary runs on the machine’s /dev/kvm, and jobs and the demo run there on ${vmms.join(' and ')} in tier vm-hardware, in clones, and leave nothing`, {
  timeout: 920_000,
}, async () => {
  const { code, output } = await nested(
    `jobs() {
       fumehood up --vmm $1 || exit
       for job in 1 2; do
         fumehood run --json --memory 256 --scratch 64 docker-archive:${image} -- sh -c 'echo out of the guest; exit 3'
         echo "exit code $?"
       done
       node test/nested/vm-log.ts || exit
       fumehood demo --json --repo ${stack.state}/repository || exit
     }
     for vmm in ${vmms.join(' ')}; do jobs $vmm; done
     fumehood down`,
    900_000,
  );
  expect(code, output).toBe(0);
  expect(output).toContain('; this machine offers vm-hardware');
  const nothing = { processes: 0, mounts: 0, namespaces: 0, loopDevices: 0, cgroups: 0, files: 0 };
  const linesOf = (start: RegExp) => (output.match(start) ?? []).map((line) => JSON.parse(line) as object);
  for (const pattern of [/^out of the guest$/gm, /^exit code 3$/gm])
    expect(output.match(pattern)).toHaveLength(2 * vmms.length);
  const ran = { tier: 'vm-hardware', attempt: 1, exitCode: 3, leftOver: nothing };
  expect(linesOf(/^\{"id":.*$/gm)).toMatchObject(
    vmms.flatMap((vmm) => [
      { ...ran, vmm },
      { ...ran, vmm },
    ]),
  );
  const cloned = output.match(/^job \d: setup\.vm in \d+ ms: cloned from template-[0-9a-f]+$/gm);
  expect(cloned).toHaveLength(2 * vmms.length);
  expect(linesOf(/^\{"job":.*$/gm)).toMatchObject(
    vmms.map((vmm) => ({
      isolation: { tier: 'vm-hardware', vmm },
      inside: { inspection: { found: 0, controlFound: true } },
      index: { documents: 2 },
      definition: { path: 'one.ts', line: 1 },
      leftOver: nothing,
    })),
  );
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
