import { execFileSync } from 'node:child_process';
import { constants } from 'node:os';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compiled } from './testing/compile.ts';

const filter = compiled('filter', ['filter.c']);

/** AUDIT_ARCH_… of <linux/audit.h>. */
const architectures = { x64: 0xc000_003e, i386: 0x4000_0003, arm64: 0xc000_00b7 };
/** SECCOMP_RET_… of <linux/seccomp.h>. */
const allow = 0x7fff_0000;
const killProcess = 0x8000_0000;
const error = (number: number) => 0x0005_0000 | number;
/** Numbers of <asm/unistd_64.h>. */
const read = 0;
const socket = 41;
const x32Bit = 0x4000_0000;

type Call = readonly [architecture: number, number: number, argument?: number];

/** Returns what the filter answers to each call. */
function answers(calls: readonly Call[]): number[] {
  const input = calls.map(
    ([architecture, number, argument = 0]) => `${architecture} ${number | 0} ${argument}`,
  );
  const output = execFileSync(filter.path, { input: `${input.join('\n')}\n`, encoding: 'utf8' });
  return output
    .trimEnd()
    .split('\n')
    .map((line) => Number.parseInt(line, 16));
}

describe("a step's filter", () => {
  it('ends a process at any call of another architecture', () => {
    const other = fc.oneof(fc.constantFrom(architectures.i386, architectures.arm64), fc.nat(0xffff_ffff));
    const calls = fc
      .sample(fc.tuple(other, fc.integer()), 2_000)
      .filter(([arch]) => arch !== architectures.x64);
    const every = Array.from({ length: 600 }, (_, number): Call => [architectures.i386, number]);
    expect(new Set(answers([...every, ...calls]))).toEqual(new Set([killProcess]));
  });

  it('answers to every x32 call that there is no such call', () => {
    const every = Array.from({ length: 600 }, (_, number): Call => [architectures.x64, x32Bit | number]);
    expect(new Set(answers(every))).toEqual(new Set([error(constants.errno.ENOSYS)]));
  });

  it('refuses sockets of AF_VSOCK and no other ones', () => {
    const families = Array.from({ length: 64 }, (_, family) => family);
    const refused = answers(families.map((family): Call => [architectures.x64, socket, family]));
    expect(families.filter((_, at) => refused[at] !== allow)).toEqual([40]);
    expect(refused[40]).toBe(error(constants.errno.EPERM));
  });

  it('refuses these calls and no other ones', () => {
    const every = Array.from({ length: 600 }, (_, number): Call => [architectures.x64, number]);
    const answered = answers(every);
    expect(answered[read]).toBe(allow);
    expect(new Set(answered)).toEqual(new Set([allow, error(constants.errno.EPERM)]));
    const refused = every.map(([, number]) => number).filter((number) => answered[number] !== allow);
    // In order: swapon, swapoff, reboot, iopl, ioperm, init_module, delete_module, kexec_load, add_key, request_key, keyctl,
    // perf_event_open, open_by_handle_at, finit_module, kexec_file_load, bpf, userfaultfd, io_uring_setup.
    expect(refused).toEqual([
      167, 168, 169, 172, 173, 175, 176, 246, 248, 249, 250, 298, 304, 313, 320, 321, 323, 425,
    ]);
  });
});
