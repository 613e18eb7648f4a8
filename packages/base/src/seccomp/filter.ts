import { deniedCalls, firstUnknownCall } from './calls.ts';

/** What a filter knows of an architecture. */
interface Architecture {
  readonly audit: number;
  readonly clone: number;
  readonly clone3: number;
  readonly socket: number;
  readonly socketpair: number;
  /** The column of its numbers in `deniedCalls`. */
  readonly column: 1 | 2;
}

const architectures: Readonly<Record<string, Architecture>> = {
  x64: { audit: 0xc000003e, clone: 56, clone3: 435, socket: 41, socketpair: 53, column: 1 },
  arm64: { audit: 0xc00000b7, clone: 220, clone3: 435, socket: 198, socketpair: 199, column: 2 },
};

/** The kernel's numbers of the socket families that a program may be allowed to open. */
const familyNumbers = { unix: 1, inet: 2, inet6: 10 } as const;
export type SocketFamily = keyof typeof familyNumbers;

const eperm = 1;
const enosys = 38;
/** The CLONE_NEW* flags of all namespaces. */
const namespaceFlags = 0x7e020080;
/** Socket types that are denied: SOCK_RAW, and SOCK_PACKET, which opens an AF_PACKET socket under AF_INET. */
const rawTypes = [3, 10];

const offset = { nr: 0, arch: 4, arg0: 16, arg1: 24 };
const op = { load: 0x20, and: 0x54, jumpEqual: 0x15, jumpSet: 0x45, jumpAtLeast: 0x35, ret: 0x06 };
const result = { allow: 0x7fff0000, kill: 0x80000000, errno: 0x00050000 };

type Instruction = readonly [code: number, jumpTrue: number, jumpFalse: number, k: number];

/**
 * Returns the system call filter of programs that may open sockets of these families alone: classic BPF for this architecture, as
 * the bytes that `bwrap --seccomp` reads. It is a deny list on top of namespaces, an empty capability set and no-new-privs: it
 * denies what `deniedCalls` names, calls that are too new to be judged, new namespaces, and all other sockets. A program that uses
 * another ABI of the processor is killed, because the same number means another call there.
 */
export function seccompFilter(families: readonly SocketFamily[], arch: string = process.arch): Buffer {
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
  if (arch === 'x64') program.push([op.jumpAtLeast, 0, 1, 0x40000000], [op.ret, 0, 0, result.kill]);
  program.push([op.jumpAtLeast, 0, 1, firstUnknownCall], deny(enosys));
  for (const call of deniedCalls) {
    const number = call[machine.column];
    if (number !== null) program.push([op.jumpEqual, 0, 1, number], deny(eperm));
  }
  // A filter cannot see the flags of clone3, which are in memory. ENOSYS makes glibc fall back to clone.
  program.push([op.jumpEqual, 0, 1, machine.clone3], deny(enosys));
  program.push(
    [op.jumpEqual, 0, 4, machine.clone],
    [op.load, 0, 0, offset.arg0],
    [op.jumpSet, 0, 1, namespaceFlags],
    deny(eperm),
    allow,
  );
  program.push(
    [op.jumpEqual, 2, 0, machine.socket],
    [op.jumpEqual, 1, 0, machine.socketpair],
    allow,
    [op.load, 0, 0, offset.arg0],
    ...families.map(
      (family, index): Instruction => [op.jumpEqual, families.length - index, 0, familyNumbers[family]],
    ),
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
