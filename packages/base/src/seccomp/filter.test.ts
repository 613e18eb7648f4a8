import { existsSync, readFileSync } from 'node:fs';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { audits, type Call, decodeFilter, evaluateFilter } from '../testing/evaluate-filter.ts';
import { deniedCalls, firstUnknownCall } from './calls.ts';
import { type SocketFamily, seccompFilter } from './filter.ts';

type Arch = 'x64' | 'arm64';
const both: SocketFamily[][] = [['unix'], ['unix', 'inet', 'inet6']];

function verdict(
  arch: Arch,
  call: Omit<Call, 'audit'> & { audit?: number },
  families: SocketFamily[] = ['unix', 'inet', 'inet6'],
): string {
  return evaluateFilter(decodeFilter(seccompFilter(families, arch)), { audit: audits[arch], ...call });
}

/** What every filter has to refuse. The numbers come from the kernel's headers, not from our table. */
const refused = [
  ...['ptrace', 'process_vm_readv', 'process_vm_writev', 'kcmp', 'pidfd_getfd', 'process_madvise'],
  ...['add_key', 'request_key', 'keyctl'],
  ...['unshare', 'setns', 'mount', 'umount2', 'pivot_root', 'chroot', 'open_tree', 'move_mount'],
  ...['fsopen', 'fsconfig', 'fsmount', 'fspick', 'mount_setattr', 'open_by_handle_at', 'fanotify_init'],
  ...['bpf', 'perf_event_open', 'userfaultfd', 'io_uring_setup', 'io_uring_enter', 'io_uring_register'],
  ...['init_module', 'finit_module', 'delete_module', 'kexec_load', 'kexec_file_load', 'reboot'],
  ...['settimeofday', 'clock_settime', 'adjtimex', 'clock_adjtime', 'swapon', 'swapoff', 'acct'],
  ...['quotactl', 'quotactl_fd', 'syslog', 'vhangup', 'lookup_dcookie', 'personality'],
];
const refusedOnX64 = ['iopl', 'ioperm', 'modify_ldt', 'uselib'];
const headers: Record<Arch, string> = {
  x64: '/usr/include/x86_64-linux-gnu/asm/unistd_64.h',
  arm64: '/usr/include/asm-generic/unistd.h',
};
/** Returns the number of a system call in the kernel's header of this architecture. */
function numberOf(arch: Arch, name: string): number {
  const found = new RegExp(`^#define __NR(?:3264)?_${name}\\s+(\\d+)$`, 'm').exec(
    readFileSync(headers[arch], 'latin1'),
  );
  return Number(found?.[1]);
}

const namespaces = {
  time: 0x80,
  mount: 0x20000,
  cgroup: 0x2000000,
  uts: 0x4000000,
  ipc: 0x8000000,
  user: 0x10000000,
  pid: 0x20000000,
  net: 0x40000000,
};

describe.each((['x64', 'arm64'] as const).filter((arch) => existsSync(headers[arch])))(
  'the filter of %s',
  (arch) => {
    const [clone, clone3, socket, socketpair] = ['clone', 'clone3', 'socket', 'socketpair'].map((name) =>
      numberOf(arch, name),
    ) as [number, number, number, number];
    const names = arch === 'x64' ? [...refused, ...refusedOnX64] : refused;

    it('is one that the kernel accepts: it is short enough, and every path inside of it ends in a result', () => {
      for (const families of both) {
        const filter = seccompFilter(families, arch);
        const program = decodeFilter(filter);
        expect(filter.length % 8).toBe(0);
        expect(program.length).toBeLessThanOrEqual(4096);
        program.forEach(({ code, jumpTrue, jumpFalse }, index) => {
          const furthest = (code & 7) === 5 ? index + 1 + Math.max(jumpTrue, jumpFalse) : index;
          expect(furthest).toBeLessThan(program.length);
        });
        expect(program.at(-1)?.code).toBe(0x06);
      }
    });

    it.each(names)('refuses %s', (name) => {
      const number = numberOf(arch, name);
      expect(number).not.toBeNaN();
      for (const families of both) expect(verdict(arch, { number }, families)).toBe('errno 1');
    });

    it('allows every other system call that the kernel had when the list was made, with any arguments', () => {
      const others = new Set([
        ...names.map((name) => numberOf(arch, name)),
        clone,
        clone3,
        socket,
        socketpair,
      ]);
      expect(others.size).toBe(
        deniedCalls.filter(([, x64, arm64]) => (arch === 'x64' ? x64 : arm64) !== null).length + 4,
      );
      const number = fc.nat({ max: firstUnknownCall - 1 }).filter((one) => !others.has(one));
      const args = fc.array(fc.nat({ max: 0xffffffff }), { minLength: 6, maxLength: 6 });
      fc.assert(
        fc.property(number, args, (number, args) => {
          expect(verdict(arch, { number, args })).toBe('allow');
        }),
      );
    });

    it('answers newer system calls as a kernel does that has none of them', () => {
      for (const number of [firstUnknownCall, firstUnknownCall + 1, 1000, 0x3fffffff])
        expect(verdict(arch, { number })).toBe('errno 38');
    });

    it('refuses to clone a process into a new namespace, with any other flags', () => {
      const any = fc.nat({ max: 0xffffffff });
      const all = Object.values(namespaces).reduce((sum, flag) => sum | flag, 0);
      fc.assert(
        fc.property(any, fc.constantFrom(...Object.values(namespaces)), (flags, flag) => {
          expect(verdict(arch, { number: clone, args: [(flags & ~all) >>> 0] })).toBe('allow');
          expect(verdict(arch, { number: clone, args: [(flags | flag) >>> 0] })).toBe('errno 1');
        }),
      );
      // A filter cannot read the flags of clone3, which are in memory. The C library falls back to clone.
      expect(verdict(arch, { number: clone3 })).toBe('errno 38');
    });

    it('allows sockets and pairs of sockets of the given families alone, and no raw socket', () => {
      const [unix, inet, inet6, stream, datagram, closeOnExec] = [1, 2, 10, 1, 2, 0o2000000];
      for (const number of [socket, socketpair]) {
        for (const type of [stream, datagram, stream | closeOnExec]) {
          for (const family of [unix, inet, inet6])
            expect(verdict(arch, { number, args: [family, type] })).toBe('allow');
          expect(verdict(arch, { number, args: [unix, type] }, ['unix'])).toBe('allow');
          for (const family of [inet, inet6])
            expect(verdict(arch, { number, args: [family, type] }, ['unix'])).toBe('errno 1');
        }
        const [raw, packet] = [3, 10];
        for (const type of [raw, packet, raw | closeOnExec, packet | closeOnExec])
          expect(verdict(arch, { number, args: [inet, type] })).toBe('errno 1');
        const family = fc.nat({ max: 0xffffffff }).filter((one) => ![unix, inet, inet6].includes(one));
        fc.assert(
          fc.property(family, fc.nat({ max: 15 }), (family, type) => {
            expect(verdict(arch, { number, args: [family, type] })).toBe('errno 1');
          }),
        );
      }
    });

    it('kills a program that makes a system call of another architecture', () => {
      for (const audit of Object.values(audits).filter((one) => one !== audits[arch]))
        for (const number of [1, 120, 450, 1000]) expect(verdict(arch, { number, audit })).toBe('kill');
    });
  },
);

it('the filter of x64 kills a program that uses any system call of the x32 ABI', () => {
  for (const number of [0x40000000, 0x40000000 + 101, 0xffffffff])
    expect(verdict('x64', { number })).toBe('kill');
});

it('seccompFilter throws for an unknown architecture', () => {
  expect(() => seccompFilter(['unix'], 'riscv64')).toThrow('no seccomp filter for the architecture riscv64');
});
