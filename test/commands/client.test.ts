import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { busyboxImage } from '../../packages/executor/src/testing/test-images.ts';
import { writeClientPackage } from '../../packaging/client.ts';
import { type Outcome, runProgram, Stack } from '../stack.ts';

/** Programs that use the library as it is published. */
let stack: Stack;
let root: string;
let environment: Record<string, string>;

beforeAll(async () => {
  stack = await Stack.make();
  const up = await stack.fumehood(['up']);
  expect(up.code, up.stderr).toBe(0);
  root = mkdtempSync(join(tmpdir(), 'fumehood-library-'));
  await writeClientPackage(join(root, 'node_modules/@fumehood/client'));
  environment = {
    FUMEHOOD_URL: `unix:${join(stack.state, 'run/instance/socket')}`,
    FUMEHOOD_TOKEN: readFileSync(join(stack.state, 'run/token'), 'utf8').trim(),
    IMAGE: `docker-archive:${(await busyboxImage(stack.state, 'plain')).file}`,
  };
});
afterAll(async () => {
  rmSync(root, { recursive: true, force: true });
  await stack.stop();
});

function run(program: string): Promise<Outcome> {
  const file = join(root, 'program.mjs');
  writeFileSync(file, program);
  return runProgram([process.execPath, file], { env: environment, cwd: root });
}

test('the example of its README runs as it is written', async () => {
  const readme = readFileSync(join(root, 'node_modules/@fumehood/client/README.md'), 'utf8');
  const [, example = ''] = /^```js\n(.*?)^```$/ms.exec(readme) ?? [];
  expect(await run(example)).toEqual({
    code: 0,
    stdout: 'from the host\nLinux\n ended with 0 in a VM of tier vm-emulated\n',
    stderr: '',
  });
});

test('a program runs commands in a copy of a directory, and cancels one whose signal is aborted', async () => {
  mkdirSync(join(root, 'work'));
  writeFileSync(join(root, 'work/file'), 'sent\n');
  const ended = await run(`
    import { run } from '@fumehood/client';
    const size = { memoryMiB: 256, scratchMiB: 256, accept: ['vm-emulated'], image: process.env.IMAGE };
    const { exitCode, stdout, stderr, job } = await run({
      ...size, dir: 'work', env: { MINE: 'mine' }, command: ['sh', '-c', 'cat file; echo "$MINE" >&2; exit 3'],
    });
    console.log(JSON.stringify({ exitCode, stdout, stderr, state: job.state, vmm: job.vmm }));
    const controller = new AbortController();
    const canceled = run({
      ...size, command: ['sh', '-c', 'echo started; sleep 60'], signal: controller.signal,
      onOutput: (stream, bytes) => { console.log(stream, new TextDecoder().decode(bytes).trim()); controller.abort(new Error('enough')); },
    });
    await canceled.catch((error) => console.log(error.message));
    const failed = run({ ...size, command: ['no-such-program'] });
    await failed.catch((error) => console.log(error.name, error.code));
  `);
  expect(ended.stderr).toBe('');
  expect(ended.stdout.trimEnd().split('\n')).toEqual([
    '{"exitCode":3,"stdout":"sent\\n","stderr":"mine\\n","state":"failed","vmm":"qemu"}',
    'stdout started',
    'enough',
    'FumehoodError step_not_started',
  ]);
  expect(execFileSync('ls', [join(stack.state, 'vms')], { encoding: 'utf8' })).toBe('');
});
