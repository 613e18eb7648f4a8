/** The numbers of an architecture's system calls, from the kernel's x86-64 and generic (arm64) tables. */
interface Architecture {
  readonly audit: number;
  readonly socket: number;
  readonly clone: number;
  readonly clone3: number;
  readonly denied: readonly number[];
}

const eperm = 1;
const enosys = 38;

const architectures: Readonly<Record<string, Architecture>> = {
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

/** The CLONE_NEW* flags of all namespaces. */
const namespaceFlags = 0x7e020080;
/** Socket families that a program may open: AF_UNIX, AF_INET, AF_INET6. Its network namespace is empty. */
const allowedFamilies = [1, 2, 10];
/** Socket types that are denied: SOCK_RAW, and SOCK_PACKET, which opens an AF_PACKET socket under AF_INET. */
const rawTypes = [3, 10];

const offset = { nr: 0, arch: 4, arg0: 16, arg1: 24 };
const op = { load: 0x20, and: 0x54, jumpEqual: 0x15, jumpSet: 0x45, jumpAbove: 0x35, ret: 0x06 };
const result = { allow: 0x7fff0000, kill: 0x80000000, errno: 0x00050000 };

type Instruction = readonly [code: number, jumpTrue: number, jumpFalse: number, k: number];

/**
 * Returns the Spawn profile's system call filter for this architecture: classic BPF, as the bytes that `bwrap --seccomp` reads. It
 * is a deny list on top of namespaces, an empty capability set and no-new-privs: it denies system calls that a program which only
 * reads and writes files never needs, and with which kernel exploits usually begin.
 */
export function seccompFilter(arch: string = process.arch): Buffer {
  const machine = architectures[arch];
  if (!machine) throw new Error(`there is no seccomp filter for the architecture ${arch}`);
  const deny = (errno: number): Instruction => [op.ret, 0, 0, result.errno | errno];
  const allow: Instruction = [op.ret, 0, 0, result.allow];
  const program: Instruction[] = [
    [op.load, 0, 0, offset.arch],
    [op.jumpEqual, 1, 0, machine.audit],
    [op.ret, 0, 0, result.kill],
    [op.load, 0, 0, offset.nr],
  ];
  // The numbers of the x32 ABI have bit 30 set. No program that we run uses that ABI.
  if (arch === 'x64') program.push([op.jumpAbove, 0, 1, 0x40000000], [op.ret, 0, 0, result.kill]);
  for (const number of machine.denied) program.push([op.jumpEqual, 0, 1, number], deny(eperm));
  // A filter cannot see the flags of clone3, which are in memory. ENOSYS makes glibc fall back to clone.
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
