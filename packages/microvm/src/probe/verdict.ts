import { createHash } from 'node:crypto';
import { readFile, rename, stat, writeFile } from 'node:fs/promises';
import { release } from 'node:os';
import { z } from 'zod';
import type { GuestImage } from '../guest/build.ts';

/** One thing that was looked at, in words. */
const findingSchema = z.object({
  check: z.string(),
  good: z.boolean(),
  detail: z.string(),
  /** The exact thing to do about it. */
  remedy: z.string().optional(),
});
export type Finding = z.infer<typeof findingSchema>;

export const hostReportSchema = z.object({
  /** What a guest really ran on here, the stronger first. */
  accelerations: z.array(z.enum(['kvm', 'emulated'])),
  /** From start to a guest that serves, ms. */
  bootMs: z.object({ kvm: z.number().optional(), emulated: z.number().optional() }),
  findings: z.array(findingSchema),
});
/** What a host can run, found by booting a canary. */
export type HostReport = z.infer<typeof hostReportSchema>;

const verdictSchema = z.object({ key: z.string(), report: hostReportSchema });

/** Everything whose change may change the verdict: boot, kernel, VMM binary, guest, processor and its microcode. */
export async function verdictKey(binary: string, guest: GuestImage): Promise<string> {
  const { size, mtimeMs, ino } = await stat(binary);
  const processor = (await readFile('/proc/cpuinfo', 'latin1'))
    .split('\n')
    .filter((line) => /^(model name|microcode|flags)\s*:/.test(line));
  const boot = await readFile('/proc/sys/kernel/random/boot_id', 'latin1');
  const facts = [boot, release(), binary, size, mtimeMs, ino, guest.digest, ...new Set(processor)];
  return createHash('sha256').update(JSON.stringify(facts)).digest('hex');
}

/** The verdict that was stored under this key, or null. */
export async function storedVerdict(file: string, key: string): Promise<HostReport | null> {
  try {
    const stored = verdictSchema.parse(JSON.parse(await readFile(file, 'utf8')));
    return stored.key === key ? stored.report : null;
  } catch {
    return null; // none, or of an older version
  }
}

export async function storeVerdict(file: string, key: string, report: HostReport): Promise<void> {
  await writeFile(`${file}.new`, JSON.stringify({ key, report }));
  await rename(`${file}.new`, file);
}
