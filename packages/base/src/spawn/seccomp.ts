/**
 * The Spawn profile's system call filter, as classic BPF for `bwrap --seccomp`. A deny list on top of namespaces, an empty
 * capability set and no-new-privs: what a program that only reads and writes files never needs, and what kernel exploits
 * usually begin with. Numbers: the kernel's x86-64 and generic (arm64) tables.
 */
interface Machine {
  readonly audit: number;
  readonly socket: number;
  readonly clone: number;
  readonly clone3: number;
  readonly denied: readonly number[];
}

const eperm = 1;
const enosys = 38;

const machines: Readonly<Record<string, Machine>> = {
  x64: {
    audit: 0xc000003e,
    socket: 41,
    clone: 56,
    clone3: 435,
    denied: [
      ...[101, 310, 311, 312], // ptrace, process_vm_readv, process_vm_writev, kcmp
      ...[248, 249, 250], // add_key, request_key, keyctl
      ...[272, 308], // unshare, setns
      ...[165, 166, 155, 161, 428, 429, 430, 431, 432, 433, 442], // the mount family, pivot_root, chroot
      ...[321, 298, 323], // bpf, perf_event_open, userfaultfd
      ...[425, 426, 427], // io_uring
      ...[175, 313, 176, 246, 320, 169], // modules, kexec, reboot
      ...[135, 304, 167, 168], // personality, open_by_handle_at, swapon, swapoff
    ],
  },
  arm64: {
    audit: 0xc00000b7,
    socket: 198,
    clone: 220,
    clone3: 435,
    denied: [
      ...[117, 270, 271, 272],
      ...[217, 218, 219],
      ...[97, 268],
      ...[40, 39, 41, 51, 428, 429, 430, 431, 432, 433, 442],
      ...[280, 241, 282],
      ...[425, 426, 427],
      ...[105, 273, 106, 104, 294, 142],
      ...[92, 265, 224, 225],
    ],
  },
};

/** CLONE_NEW* of every namespace. */
const namespaceFlags = 0x7e020080;
/** Families a sandboxed program may open: AF_UNIX, AF_INET, AF_INET6 (its network namespace is empty). */
const allowedFamilies = [1, 2, 10];
/** SOCK_RAW, and SOCK_PACKET, which makes an AF_PACKET socket of AF_INET. */
const rawTypes = [3, 10];

const offset = { nr: 0, arch: 4, arg0: 16, arg1: 24 };
const op = { load: 0x20, and: 0x54, jumpEqual: 0x15, jumpSet: 0x45, jumpAbove: 0x35, ret: 0x06 };
const result = { allow: 0x7fff0000, kill: 0x80000000, errno: 0x00050000 };

type Instruction = readonly [code: number, jumpTrue: number, jumpFalse: number, k: number];

/** The filter for this machine's architecture, as the bytes that `bwrap --seccomp` reads. */
export function seccompFilter(arch: string = process.arch): Buffer {
  const machine = machines[arch];
  if (!machine) throw new Error(`no seccomp filter for ${arch}`);
  const deny = (errno: number): Instruction => [op.ret, 0, 0, result.errno | errno];
  const allow: Instruction = [op.ret, 0, 0, result.allow];
  const program: Instruction[] = [
    [op.load, 0, 0, offset.arch],
    [op.jumpEqual, 1, 0, machine.audit],
    [op.ret, 0, 0, result.kill],
    [op.load, 0, 0, offset.nr],
  ];
  // x32 numbers carry bit 30; no program of ours uses them.
  if (arch === 'x64') program.push([op.jumpAbove, 0, 1, 0x40000000], [op.ret, 0, 0, result.kill]);
  for (const number of machine.denied) program.push([op.jumpEqual, 0, 1, number], deny(eperm));
  // clone3 hides its flags in memory: glibc falls back to clone.
  program.push([op.jumpEqual, 0, 1, machine.clone3], deny(enosys));
  program.push(
    [op.jumpEqual, 0, 4, machine.clone],
    [op.load, 0, 0, offset.arg0],
    [op.jumpSet, 0, 1, namespaceFlags],
    deny(eperm),
    allow,
  );
  const families = allowedFamilies.length;
  program.push(
    [op.jumpEqual, 1, 0, machine.socket],
    allow,
    [op.load, 0, 0, offset.arg0],
    ...allowedFamilies.map((family, index): Instruction => [op.jumpEqual, families - index, 0, family]),
    deny(eperm),
    [op.load, 0, 0, offset.arg1],
    [op.and, 0, 0, 0xf],
    ...rawTypes.flatMap((type): Instruction[] => [[op.jumpEqual, 0, 1, type], deny(eperm)]),
    allow,
  );
  return encode(program);
}

function encode(program: readonly Instruction[]): Buffer {
  const bytes = Buffer.alloc(program.length * 8);
  program.forEach(([code, jumpTrue, jumpFalse, k], index) => {
    bytes.writeUInt16LE(code, index * 8);
    bytes.writeUInt8(jumpTrue, index * 8 + 2);
    bytes.writeUInt8(jumpFalse, index * 8 + 3);
    bytes.writeUInt32LE(k >>> 0, index * 8 + 4);
  });
  return bytes;
}
