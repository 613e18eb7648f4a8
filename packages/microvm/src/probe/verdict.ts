import { createHash } from 'node:crypto';
import { readdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { release } from 'node:os';
import * as z from 'zod';
import type { GuestImage } from '../guest/build.ts';

/** The result of one check of the host, for people. */
const findingSchema = z.object({
  check: z.string(),
  ok: z.boolean(),
  detail: z.string(),
  /** The command or step that fixes it. */
  remedy: z.string().optional(),
});
export type Finding = z.infer<typeof findingSchema>;

const hostReportSchema = z.object({
  /** What a canary has run on, strongest first. */
  accelerations: z.array(z.enum(['kvm', 'emulated'])),
  /** What serves `/dev/kvm`, if there is one. */
  kvm: z.enum(['hardware', 'pvm']),
  /** Time from the start of the VM until its guest served, ms. */
  bootMs: z.object({ kvm: z.number().optional(), emulated: z.number().optional() }),
  findings: z.array(findingSchema),
});
/** What a host can run, as booting canaries has shown. */
export type HostReport = z.infer<typeof hostReportSchema>;

const verdictSchema = z.object({ key: z.string(), report: hostReportSchema });

/** Returns a hash of everything that may change the verdict: boot, kernel, its parts for virtualization, VMM binary, guest image, processor and microcode. */
export async function verdictKey(binary: string, guest: GuestImage): Promise<string> {
  const { size, mtimeMs, ino } = await stat(binary);
  const processor = (await readFile('/proc/cpuinfo', 'latin1'))
    .split('\n')
    .filter((line) => /^(model name|microcode|flags)\s*:/.test(line));
  const modules = (await readdir('/sys/module').catch(() => [])).filter((name) => name.startsWith('kvm'));
  const boot = await readFile('/proc/sys/kernel/random/boot_id', 'latin1');
  const facts = [
    boot,
    release(),
    modules.toSorted(),
    binary,
    size,
    mtimeMs,
    ino,
    guest.digest,
    ...new Set(processor),
  ];
  return createHash('sha256').update(JSON.stringify(facts)).digest('hex');
}

/** Returns the verdict that was stored under this key, or null. */
export async function storedVerdict(file: string, key: string): Promise<HostReport | null> {
  try {
    const stored = verdictSchema.parse(JSON.parse(await readFile(file, 'utf8')));
    return stored.key === key ? stored.report : null;
  } catch {
    return null; // there is none, or another version wrote it
  }
}

/** Stores the verdict in place of the previous one. */
export async function storeVerdict(file: string, key: string, report: HostReport): Promise<void> {
  await writeFile(`${file}.new`, JSON.stringify({ key, report }));
  await rename(`${file}.new`, file);
}
