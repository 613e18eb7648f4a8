import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { seccompFilter } from './seccomp.ts';

interface Call {
  readonly number: number;
  readonly args?: readonly number[];
  readonly audit?: number;
}

const audits: Readonly<Record<string, number>> = { x64: 0xc000003e, arm64: 0xc00000b7 };
const i386 = 0x40000003;

function decode(filter: Buffer) {
  return Array.from({ length: filter.length / 8 }, (_, index) => ({
    code: filter.readUInt16LE(index * 8),
    jumpTrue: filter.readUInt8(index * 8 + 2),
    jumpFalse: filter.readUInt8(index * 8 + 3),
    k: filter.readUInt32LE(index * 8 + 4),
  }));
}

/** Interprets the filter on the `struct seccomp_data` of a system call, as the kernel does, and returns its result. */
function verdict(arch: string, { number, args = [], audit = audits[arch] }: Call): string {
  const data = Buffer.alloc(64);
  data.writeUInt32LE(number >>> 0, 0);
  data.writeUInt32LE(audit ?? 0, 4);
  args.forEach((value, index) => data.writeBigUInt64LE(BigInt(value), 16 + index * 8));
  const program = decode(seccompFilter(arch));
  let accumulator = 0;
  for (let at = 0; ; at++) {
    const { code, jumpTrue, jumpFalse, k } = program[at] as (typeof program)[number];
    const jump = (is: boolean) => (at += is ? jumpTrue : jumpFalse);
    if (code === 0x20) accumulator = data.readUInt32LE(k);
    else if (code === 0x54) accumulator = (accumulator & k) >>> 0;
    else if (code === 0x15) jump(accumulator === k);
    else if (code === 0x35) jump(accumulator >= k);
    else if (code === 0x45) jump((accumulator & k) !== 0);
    else if (code !== 0x06) throw new Error(`instruction ${at} is ${code}`);
    else if (k === 0x7fff0000) return 'allow';
    else if (k === 0x80000000) return 'kill';
    else return `errno ${k - 0x00050000}`;
  }
}

/** Names and numbers from the kernel's tables for x86-64 and arm64. */
const refused: readonly (readonly [name: string, x64: number, arm64: number])[] = [
  ...([
    ['ptrace', 101, 117],
    ['process_vm_readv', 310, 270],
    ['process_vm_writev', 311, 271],
  ] as const),
  ...([
    ['kcmp', 312, 272],
    ['add_key', 248, 217],
    ['request_key', 249, 218],
    ['keyctl', 250, 219],
  ] as const),
  ...([
    ['unshare', 272, 97],
    ['setns', 308, 268],
    ['mount', 165, 40],
    ['umount2', 166, 39],
  ] as const),
  ...([
    ['pivot_root', 155, 41],
    ['chroot', 161, 51],
    ['open_tree', 428, 428],
  ] as const),
  ...([
    ['move_mount', 429, 429],
    ['fsopen', 430, 430],
    ['fsconfig', 431, 431],
    ['fsmount', 432, 432],
  ] as const),
  ...([
    ['fspick', 433, 433],
    ['mount_setattr', 442, 442],
    ['bpf', 321, 280],
  ] as const),
  ...([
    ['perf_event_open', 298, 241],
    ['userfaultfd', 323, 282],
    ['io_uring_setup', 425, 425],
  ] as const),
  ...([
    ['io_uring_enter', 426, 426],
    ['io_uring_register', 427, 427],
    ['init_module', 175, 105],
  ] as const),
  ...([
    ['finit_module', 313, 273],
    ['delete_module', 176, 106],
    ['kexec_load', 246, 104],
  ] as const),
  ...([
    ['kexec_file_load', 320, 294],
    ['reboot', 169, 142],
    ['personality', 135, 92],
  ] as const),
  ...([
    ['open_by_handle_at', 304, 265],
    ['swapon', 167, 224],
    ['swapoff', 168, 225],
  ] as const),
];
const numbers = {
  x64: { clone: 56, clone3: 435, socket: 41 },
  arm64: { clone: 220, clone3: 435, socket: 198 },
} as const;
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

describe.each(['x64', 'arm64'] as const)('the filter of %s', (arch) => {
  const { clone, clone3, socket } = numbers[arch];
  const denied = new Set(refused.map(([, x64, arm64]) => (arch === 'x64' ? x64 : arm64)));

  it('is one that the kernel accepts: it is short enough, and every path inside of it ends in a result', () => {
    const filter = seccompFilter(arch);
    const program = decode(filter);
    expect(filter.length % 8).toBe(0);
    expect(program.length).toBeLessThanOrEqual(4096);
    program.forEach(({ code, jumpTrue, jumpFalse }, index) => {
      const furthest = (code & 7) === 5 ? index + 1 + Math.max(jumpTrue, jumpFalse) : index;
      expect(furthest).toBeLessThan(program.length);
    });
    expect(program.at(-1)?.code).toBe(0x06);
  });

  it.each(refused)('refuses %s', (_name, x64, arm64) => {
    expect(verdict(arch, { number: arch === 'x64' ? x64 : arm64 })).toBe('errno 1');
  });

  it('allows every other system call with any arguments', () => {
    const number = fc
      .nat({ max: 500 })
      .filter((one) => !denied.has(one) && one !== clone && one !== clone3 && one !== socket);
    const args = fc.array(fc.nat({ max: 0xffffffff }), { minLength: 6, maxLength: 6 });
    fc.assert(
      fc.property(number, args, (number, args) => {
        expect(verdict(arch, { number, args })).toBe('allow');
      }),
    );
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

  it('allows sockets of three families, and no raw socket', () => {
    const [unix, inet, inet6, stream, datagram, closeOnExec] = [1, 2, 10, 1, 2, 0o2000000];
    for (const family of [unix, inet, inet6])
      for (const type of [stream, datagram, stream | closeOnExec])
        expect(verdict(arch, { number: socket, args: [family, type] })).toBe('allow');
    const [raw, packet] = [3, 10];
    for (const type of [raw, packet, raw | closeOnExec, packet | closeOnExec])
      expect(verdict(arch, { number: socket, args: [inet, type] })).toBe('errno 1');
    const family = fc.nat({ max: 0xffffffff }).filter((one) => ![unix, inet, inet6].includes(one));
    fc.assert(
      fc.property(family, fc.nat({ max: 15 }), (family, type) => {
        expect(verdict(arch, { number: socket, args: [family, type] })).toBe('errno 1');
      }),
    );
  });

  it('kills a program that makes a system call of another architecture', () => {
    for (const audit of [i386, ...Object.values(audits).filter((one) => one !== audits[arch])])
      expect(verdict(arch, { number: 1, audit })).toBe('kill');
  });
});

it('the filter of x64 kills a program that uses any system call of the x32 ABI', () => {
  for (const number of [0x40000000, 0x40000000 + 101, 0xffffffff])
    expect(verdict('x64', { number })).toBe('kill');
});

it('seccompFilter throws for an unknown architecture', () => {
  expect(() => seccompFilter('riscv64')).toThrow('no seccomp filter for the architecture riscv64');
});
