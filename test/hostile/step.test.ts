import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { GuestRecipe } from '@fumehood/microvm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TestAgent } from '../../packages/executor/src/testing/test-agent.ts';
import { type Change, changedGuest } from './guest.ts';

let directory: string;
let program: Buffer;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'fumehood-hostile-'));
  const binary = join(directory, 'attack');
  execFileSync('gcc', [
    '-static',
    '-O1',
    '-Wall',
    '-Werror',
    '-o',
    binary,
    join(import.meta.dirname, 'attack.c'),
  ]);
  program = readFileSync(binary);
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** Runs the attack program in a fresh VM of this guest image, and returns the result of each attempt. */
async function attack(recipe?: GuestRecipe): Promise<Map<string, string>> {
  const agent = await TestAgent.start(recipe);
  try {
    const files = [{ path: 'attack', content: program, mode: 0o755 }];
    const image = await agent.putImage('attack', {}, files);
    const mark = await agent.run({ dockerSteps: [{ image, argv: ['/attack'] }] });
    expect(mark).toEqual({ operation: 'markComplete' });
    const lines = agent.instance.output('step.docker.0').trimEnd().split('\n');
    return new Map(lines.map((line) => line.split('\t') as [string, string]));
  } finally {
    await agent.stop();
  }
}

const resultsOf = (outcome: Map<string, string>, pattern: RegExp) =>
  [...outcome].filter(([name]) => pattern.test(name)).map(([, result]) => result);

describe('a step that is root', () => {
  let outcome: Map<string, string>;
  beforeAll(async () => {
    outcome = await attack();
  });

  test("cannot open init's ports through any device node that it makes", () => {
    const opened = resultsOf(outcome, /node-vport/);
    expect(opened.length).toBeGreaterThanOrEqual(5 * 4);
    expect(new Set(opened)).toEqual(new Set(['EACCES']));
  });

  test("cannot open the VM's disks through any device node that it makes", () => {
    const opened = resultsOf(outcome, /node-vd/);
    expect(opened.length).toBeGreaterThanOrEqual(2 * 4);
    expect(new Set(opened)).toEqual(new Set(['EACCES']));
  });

  test('cannot create a vsock, under any ABI', () => {
    expect(resultsOf(outcome, /^vsock/)).toEqual(['EPERM', 'EPERM', 'EPERM']);
    expect(outcome.get('unix')).toBe('done');
  });

  test('does not see init, its memory or its descriptors', () => {
    expect(outcome.get('process 1')).toBe('attack');
  });

  test('cannot mount, load kernel code, set the clock or change its limits', () => {
    const refused = ['mount', 'pivot_root', 'kexec_load', 'init_module', 'bpf', 'io_uring_setup', 'keyctl'];
    for (const name of [...refused, 'open_by_handle_at', 'settimeofday'])
      expect(outcome.get(name), name).toBe('EPERM');
    for (const name of ['write kernel.core_pattern', 'write sysrq-trigger', 'write own cgroup'])
      expect(outcome.get(name), name).toBe('EROFS');
  });
});

describe('without the defence the attack succeeds:', () => {
  test('a step opens ports and disks where mounts allow devices', async () => {
    const outcome = await attack(
      changedGuest(directory, [
        ['commands.c', '{"nodev", MS_NODEV}', '{"nodev", 0}'],
        ['child.c', 'clone_mount(step->root, MOUNT_ATTR_NODEV)', 'clone_mount(step->root, 0)'],
      ]),
    );
    expect(resultsOf(outcome, /open \/node-vd/)).toContain('done');
    // A port that init has already open answers that it is busy, so no mount prevented the attempt.
    const ports = resultsOf(outcome, /open \/node-vport/);
    expect(new Set(ports)).not.toContain('EACCES');
    expect(resultsOf(outcome, /open \/dev\/node-vd/)).not.toContain('done');
  });

  test('a step creates a vsock where there is no filter', async () => {
    const changes: Change[] = [['child.c', 'if (filter_install())', 'if (0)']];
    const outcome = await attack(changedGuest(directory, changes, ['vsock']));
    expect(outcome.get('vsock')).toBe('done');
    expect(outcome.get('vsock i386')).toBe('done');
  });

  test("a step reads init's memory and descriptors from init's namespace with init's capabilities", async () => {
    const outcome = await attack(
      changedGuest(directory, [
        ['runner.c', 'CLONE_NEWPID | ', ''],
        ['child.c', '  drop_bounding();', '  if (0) drop_bounding();'],
      ]),
    );
    expect(outcome.get('process 1')).toBe('init');
    expect(outcome.get('memory of init')).toBe('done');
    expect(outcome.get('descriptors of init')).toBe('done');
  });
});
