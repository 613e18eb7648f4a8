import { z } from 'zod';

/** What stands between a job and its host, strongest first (design invariant 2). Found out by a canary, never assumed. */
export const tierSchema = z.enum(['vm-hardware', 'vm-pvm', 'vm-emulated', 'user-kernel', 'container']);
export type Tier = z.infer<typeof tierSchema>;

/** What a job accepts when it names nothing. */
export const defaultTiers: readonly Tier[] = ['vm-hardware'];

/** One plain sentence a tier, for people who choose. */
export const tierMeaning: Readonly<Record<Tier, string>> = {
  'vm-hardware': 'a virtual machine on hardware virtualization: made for hostile code',
  'vm-pvm': 'a virtual machine on page-table-based virtualization: made for hostile code',
  'vm-emulated':
    'a real virtual machine on an emulated CPU: good for trying, tests and CI; its authors do not call emulation a security boundary',
  'user-kernel': 'a kernel in user space between the job and the host (gVisor)',
  container: "a container on the host's kernel: only for code you trust",
};
