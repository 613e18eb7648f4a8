import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { seccompFilter, systemClock } from '@fumehood/base';
import { buildLauncher, canLimit, connectGuest, vmmOf, startVm } from '@fumehood/microvm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  audits,
  type BpfInstruction,
  type Call,
  decodeFilter,
  evaluateFilter,
} from '../../packages/base/src/testing/evaluate-filter.ts';
import { testGuest } from '../../packages/executor/src/testing/test-guest.ts';

let directory: string;
/** The filters of each thread of the running VMM, in the order of their installation. */
let threads: Map<string, Buffer[]>;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'fumehood-vmm-'));
  const reader = join(directory, 'read-filters');
  const source = join(import.meta.dirname, 'read-filters.c');
  execFileSync('gcc', ['-O1', '-Wall', '-Wextra', '-Werror', '-o', reader, source]);
  mkdirSync(join(directory, 'run'));
  const host = {
    vmm: vmmOf('qemu', '/usr/bin/qemu-system-x86_64'),
    launcher: await buildLauncher(join(directory, 'launcher')),
    guest: await testGuest(join(directory, 'guest')),
    ...{ diskDirectory: directory, diskOwner: 0, runDirectory: join(directory, 'run') },
    ...{ identity: { uid: 1_900_001_907, gid: 1_900_001_907 }, cgroups: await canLimit() },
  };
  const spec = { id: 'filters', acceleration: 'emulated' as const, cpus: 1, memoryMiB: 256, scratchMiB: 16 };
  const vm = await startVm({ ...spec, disks: [] }, host);
  try {
    vm.sockets.console.resume();
    vm.sockets.lease.write(`R ${Math.floor(systemClock.bootTime() + 60_000)}\n`);
    const guest = connectGuest(await vm.guest, systemClock);
    await guest.ready(60_000);
    const pid = String(await vm.check());
    threads = filtersOf(execFileSync(reader, [pid], { encoding: 'latin1' }));
  } finally {
    await vm.destroy();
  }
});
afterAll(() => rmSync(directory, { recursive: true }));

/** Returns the filters of each thread from the output of `read-filters.c`. */
function filtersOf(output: string): Map<string, Buffer[]> {
  const found = new Map<string, Buffer[]>();
  for (const line of output.trim().split('\n')) {
    const [thread, filter] = line.split(' ') as [string, string];
    found.set(thread, [...(found.get(thread) ?? []), Buffer.from(filter, 'hex')]);
  }
  return found;
}

/** Returns whether the kernel would run this call under all of these filters. */
function passes(filters: readonly Buffer[], call: Omit<Call, 'audit'> & { audit?: number }): boolean {
  return filters.every((filter) => {
    const program: BpfInstruction[] = decodeFilter(filter);
    return evaluateFilter(program, { audit: audits.x64, ...call }) === 'allow';
  });
}

const socket = 41;
const families = { packet: 17, netlink: 16, vsock: 40, inet: 2, inet6: 10, alg: 38 };
/** Calls of a VMM that a guest has taken over, with their numbers on x86-64. */
const attacks: Record<string, Omit<Call, 'audit'>> = {
  ...{ bpf: { number: 321 }, io_uring_setup: { number: 425 }, io_uring_enter: { number: 426 } },
  ...{ perf_event_open: { number: 298 }, userfaultfd: { number: 323 }, ptrace: { number: 101 } },
  ...{ keyctl: { number: 250 }, add_key: { number: 248 }, request_key: { number: 249 } },
  ...{ init_module: { number: 175 }, finit_module: { number: 313 }, kexec_load: { number: 246 } },
  ...{ process_vm_readv: { number: 310 }, process_vm_writev: { number: 311 }, pidfd_getfd: { number: 438 } },
  ...{ mount: { number: 165 }, setns: { number: 308 }, unshare: { number: 272 } },
  ...Object.fromEntries(
    Object.entries(families).map(([name, family]) => [
      `socket ${name}`,
      { number: socket, args: [family, 1] },
    ]),
  ),
};
const innocent: Record<string, Omit<Call, 'audit'>> = {
  ...{ read: { number: 0 }, write: { number: 1 }, mmap: { number: 9 }, ioctl: { number: 16 } },
};

describe('the filters of a running VMM, read from the kernel and evaluated,', () => {
  test('refuse in every thread each call with which an attack on the kernel begins', () => {
    expect(threads.size).toBeGreaterThan(2);
    for (const filters of threads.values()) {
      for (const [name, call] of Object.entries(attacks)) expect(passes(filters, call), name).toBe(false);
      for (const [name, call] of Object.entries(innocent)) expect(passes(filters, call), name).toBe(true);
    }
  });

  test('refuse every call by the numbers of 32-bit programs and of x32', () => {
    for (const filters of threads.values())
      for (let number = 0; number < 500; number++) {
        expect(passes(filters, { number, audit: audits.i386 }), `i386 ${number}`).toBe(false);
        expect(passes(filters, { number: 0x40000000 + number }), `x32 ${number}`).toBe(false);
      }
  });

  test("allow many of these calls without the jail's filter, which is the first in every thread", () => {
    for (const filters of threads.values()) {
      const [ofJail, ...ofVmm] = filters;
      expect(ofJail?.equals(seccompFilter(['unix']))).toBe(true);
      expect(ofVmm).toHaveLength(1);
      const allowed = Object.entries(attacks).filter(([, call]) => passes(ofVmm, call));
      expect(allowed.map(([name]) => name)).toEqual(
        expect.arrayContaining(['bpf', 'io_uring_setup', 'userfaultfd', 'ptrace', 'keyctl', 'socket vsock']),
      );
    }
  });
});
