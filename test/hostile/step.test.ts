import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { GuestRecipe } from '@fumehood/microvm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Change, changedGuest } from './guest.ts';
import { attackProgram, withGuest } from './vm.ts';

let directory: string;
let program: ReturnType<typeof attackProgram>;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'fumehood-hostile-'));
  program = attackProgram(directory);
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

type Results = ReadonlyMap<string, string>;

/** Runs these parts of the attack program in a fresh VM of this guest image, and returns the result of each attempt. */
async function attack(parts: readonly string[], recipe?: GuestRecipe): Promise<Results> {
  return withGuest(
    [program],
    async (attacked) => {
      const { exit, results } = await attacked.attack(['/attack', ...parts]);
      expect(exit).toMatchObject({ reason: 'exit', code: 0 });
      return results;
    },
    recipe,
  );
}

const resultsOf = (outcome: Results, pattern: RegExp) =>
  [...outcome].filter(([name]) => pattern.test(name)).map(([, result]) => result);
const parts = ['processes', 'devices', 'abis', 'privileges', 'files', 'user-namespace'];

describe('a step that is root', () => {
  let outcome: Results;
  beforeAll(async () => {
    outcome = await attack(parts);
  });

  test.each([
    ["init's ports", 'vport', 5],
    ["the VM's disks", 'vd', 2],
  ])('cannot open %s through a device node, in whatever mount it makes one', (_what, name, count) => {
    const opened = resultsOf(outcome, new RegExp(`^open /(tmp/)?/?node-${name}`));
    expect(opened).toHaveLength(count * 2);
    expect(new Set(opened)).toEqual(new Set(['EACCES']));
    const everywhere = resultsOf(outcome, new RegExp(`^open .*node-${name}`));
    expect(everywhere.length).toBeGreaterThan(count * 15);
    expect(everywhere).not.toContain('done');
  });

  test('inherits no descriptor but its three streams', () => {
    const descriptors = [...outcome].filter(([name]) => name.startsWith('descriptor '));
    expect(descriptors.map(([name, to]) => `${name} ${to}`).sort()).toEqual(
      [0, 1, 2].map((number) => `descriptor ${number} pipe`),
    );
  });

  test('sees no process but its own, and no way out of its namespace', () => {
    expect(outcome.get('process 1')).toBe('attack');
    expect(outcome.get('parent')).toBe('0');
    expect(outcome.get('other processes')).toBe('0 signaled, 0 opened');
    expect(outcome.get('disk through /proc')).toBe('none');
    expect(outcome.get('parent of the pid namespace')).toBe('EPERM');
  });

  test('cannot create a vsock, under any ABI, nor make any other call of a 32-bit program', () => {
    expect(outcome.get('vsock')).toBe('EPERM');
    expect(outcome.get('vsock x32')).toBe('ENOSYS');
    expect(outcome.get('vsock io_uring')).toBe('EPERM');
    const calls32 = resultsOf(outcome, /i386/);
    expect(calls32).toHaveLength(6);
    expect(new Set(calls32)).toEqual(new Set(['SIGSYS']));
    expect(outcome.get('unix')).toBe('done');
  });

  test('cannot mount, load kernel code, set the clock or its priority, or change its limits', () => {
    const refused = [
      'mount',
      'mount proc',
      'pivot_root',
      'kexec_load',
      'init_module',
      'bpf',
      'io_uring_setup',
    ];
    for (const name of [...refused, 'keyctl', 'open_by_handle_at', 'settimeofday', 'unshare mounts'])
      expect(outcome.get(name), name).toBe('EPERM');
    expect(outcome.get('raise priority')).toBe('EACCES');
    expect(outcome.get('real-time priority')).toBe('EPERM');
    for (const name of ['write kernel.core_pattern', 'write sysrq-trigger', 'write own cgroup'])
      expect(outcome.get(name), name).toBe('EROFS');
  });

  test('cannot lift its limits through a user namespace', () => {
    expect(outcome.get('limit through a user namespace')).toBe('ENOSPC');
  });

  test('can write no file of /proc but those of its own processes, and none of /sys', () => {
    expect([...outcome.keys()].filter((name) => name.startsWith('write /'))).toEqual([]);
    expect(outcome.get('writable files')).toBe('0');
    expect(outcome.get('files of the kernel')).toBe('many');
  });
});

describe('without the defence the attack succeeds:', () => {
  test('a step opens ports and disks, calls the kernel by every ABI, writes its files and lifts its limits', async () => {
    const changes: Change[] = [
      ['commands.c', '{"nodev", MS_NODEV}', '{"nodev", 0}'],
      [
        'root.c',
        'clone_mount(AT_FDCWD, step->root, MOUNT_ATTR_NODEV)',
        'clone_mount(AT_FDCWD, step->root, 0)',
      ],
      ['root.c', '  protect_proc(proc, dev);', '  if (0) protect_proc(proc, dev);'],
      ['child.c', 'if (filter_install())', 'if (0)'],
      ['boot.c', 'max_user_namespaces", "0"', 'max_user_namespaces", "9"'],
    ];
    const outcome = await attack(parts, changedGuest(directory, changes));
    expect(resultsOf(outcome, /^open \/\/node-vd/)).toContain('done');
    // A port that init has already open answers that it is busy, so no mount prevented the attempt.
    expect(new Set(resultsOf(outcome, /^open \/\/node-vport/))).not.toContain('EACCES');
    expect(resultsOf(outcome, /^open \/dev\/node-vd/)).not.toContain('done');
    for (const name of ['vsock', 'vsock io_uring', 'vsock i386', 'vsock i386 socketcall', 'i386 getpid'])
      expect(outcome.get(name), name).toBe('done');
    for (const name of ['i386 io_uring_setup', 'i386 keyctl', 'i386 add_key'])
      expect(outcome.get(name), name).toBe('done');
    expect(outcome.get('write kernel.core_pattern')).toBe('done');
    expect(outcome.get('write /proc/sys/kernel/core_pattern')).toBe('done');
    expect(outcome.get('limit through a user namespace')).toBe('done');
  });

  test("a step reads init's memory and takes its port from init's namespace with init's capabilities", async () => {
    const changes: Change[] = [
      ['runner.c', 'CLONE_NEWPID | ', ''],
      ['child.c', '  drop_bounding();', '  if (0) drop_bounding();'],
    ];
    const outcome = await attack(['processes'], changedGuest(directory, changes));
    expect(outcome.get('process 1')).toBe('init');
    expect(outcome.get('other processes')).not.toBe('0 signaled, 0 opened');
    for (const name of ['port of init by pidfd_getfd', 'memory of init', 'trace of init'])
      expect(outcome.get(name), name).toBe('done');
    expect(outcome.get('disk through /proc')).not.toBe('none');
  });
});
