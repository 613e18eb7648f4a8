/** A system call as a filter sees it. */
export interface Call {
  readonly number: number;
  readonly args?: readonly number[];
  /** The kernel's AUDIT_ARCH of the ABI that the call uses. */
  readonly audit: number;
}

/** The AUDIT_ARCH of the ABIs of the two architectures, and of 32-bit x86. */
export const audits = { x64: 0xc000003e, arm64: 0xc00000b7, i386: 0x40000003 } as const;

export interface BpfInstruction {
  readonly code: number;
  readonly jumpTrue: number;
  readonly jumpFalse: number;
  readonly k: number;
}

/** Decodes a classic BPF program from an array of the kernel's `struct sock_filter`. */
export function decodeFilter(filter: Buffer): BpfInstruction[] {
  return Array.from({ length: filter.length / 8 }, (_, index) => ({
    code: filter.readUInt16LE(index * 8),
    jumpTrue: filter.readUInt8(index * 8 + 2),
    jumpFalse: filter.readUInt8(index * 8 + 3),
    k: filter.readUInt32LE(index * 8 + 4),
  }));
}

/** Evaluates a filter on the `struct seccomp_data` of a call, as the kernel does: `allow`, `kill` or `errno N`. */
export function evaluateFilter(
  program: readonly BpfInstruction[],
  { number, args = [], audit }: Call,
): string {
  const data = Buffer.alloc(64);
  data.writeUInt32LE(number >>> 0, 0);
  data.writeUInt32LE(audit, 4);
  args.forEach((value, index) => data.writeBigUInt64LE(BigInt(value), 16 + index * 8));
  let accumulator = 0;
  for (let at = 0; ; at++) {
    const { code, jumpTrue, jumpFalse, k } = program[at] as BpfInstruction;
    const jump = (is: boolean) => (at += is ? jumpTrue : jumpFalse);
    if (code === 0x20) accumulator = data.readUInt32LE(k);
    else if (code === 0x54) accumulator = (accumulator & k) >>> 0;
    else if (code === 0x05) at += k;
    else if (code === 0x15) jump(accumulator === k);
    else if (code === 0x25) jump(accumulator > k);
    else if (code === 0x35) jump(accumulator >= k);
    else if (code === 0x45) jump((accumulator & k) !== 0);
    else if (code === 0x06) return resultOf(k);
    else throw new Error(`instruction ${at} has the unknown code ${code}`);
  }
}

function resultOf(value: number): string {
  const action = (value & 0xffff0000) >>> 0;
  if (action === 0x7fff0000) return 'allow';
  if (action === 0x80000000 || action === 0) return 'kill'; // the process or the thread
  if (action === 0x00050000) return `errno ${value & 0xffff}`;
  return `action ${action.toString(16)}`;
}
