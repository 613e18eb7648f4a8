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

/** What became of each try, in a fresh VM of this guest image. */
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

const tries = (outcome: Map<string, string>, pattern: RegExp) =>
  [...outcome].filter(([name]) => pattern.test(name)).map(([, result]) => result);

describe('a step that is root', () => {
  let outcome: Map<string, string>;
  beforeAll(async () => {
    outcome = await attack();
  });

  test("cannot open init's ports, whatever node it makes for them", () => {
    const opened = tries(outcome, /node-vport/);
    expect(opened.length).toBeGreaterThanOrEqual(5 * 4);
    expect(new Set(opened)).toEqual(new Set(['EACCES']));
  });

  test("cannot open the VM's disks, whatever node it makes for them", () => {
    const opened = tries(outcome, /node-vd/);
    expect(opened.length).toBeGreaterThanOrEqual(2 * 4);
    expect(new Set(opened)).toEqual(new Set(['EACCES']));
  });

  test('cannot create a vsock, under any ABI', () => {
    expect(tries(outcome, /^vsock/)).toEqual(['EPERM', 'EPERM', 'EPERM']);
    expect(outcome.get('unix')).toBe('done');
  });

  test('does not see init, and so neither its memory nor its descriptors', () => {
    expect(outcome.get('process 1')).toBe('attack');
  });

  test('cannot mount, load code into the kernel, set the clock, or change its limits', () => {
    const refused = ['mount', 'pivot_root', 'kexec_load', 'init_module', 'bpf', 'io_uring_setup', 'keyctl'];
    for (const name of [...refused, 'open_by_handle_at', 'settimeofday'])
      expect(outcome.get(name), name).toBe('EPERM');
    for (const name of ['write kernel.core_pattern', 'write sysrq-trigger', 'write own cgroup'])
      expect(outcome.get(name), name).toBe('EROFS');
  });
});

describe('without the defence the attack succeeds:', () => {
  test('ports and disks are opened where mounts allow devices', async () => {
    const outcome = await attack(
      changedGuest(directory, [
        ['commands.c', '{"nodev", MS_NODEV}', '{"nodev", 0}'],
        ['child.c', 'clone_mount(step->root, MOUNT_ATTR_NODEV)', 'clone_mount(step->root, 0)'],
      ]),
    );
    expect(tries(outcome, /open \/node-vd/)).toContain('done');
    // A port that init has open already answers that it is busy: no mount stood in the way.
    const ports = tries(outcome, /open \/node-vport/);
    expect(new Set(ports)).not.toContain('EACCES');
    expect(tries(outcome, /open \/dev\/node-vd/)).not.toContain('done');
  });

  test('a vsock is made where no filter is', async () => {
    const changes: Change[] = [['child.c', 'if (filter_install())', 'if (0)']];
    const outcome = await attack(changedGuest(directory, changes, ['vsock']));
    expect(outcome.get('vsock')).toBe('done');
    expect(outcome.get('vsock i386')).toBe('done');
  });

  test("init's memory and descriptors are read from its own namespace with its own capabilities", async () => {
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
