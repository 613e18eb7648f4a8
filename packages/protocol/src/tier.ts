import * as z from 'zod';

/**
 * What isolates a job from its host, strongest first. An executor of ours offers only a tier in which its canary has booted a VM
 * (docs/invariants.md, 2); one of upstream's kind names none, and is taken to offer `container`.
 */
export const tierSchema = z.enum(['vm-hardware', 'vm-pvm', 'vm-emulated', 'container']);
export type Tier = z.infer<typeof tierSchema>;

/** The tiers that a job accepts when its request names none. */
export const defaultTiers: readonly Tier[] = ['vm-hardware'];

/** One plain sentence for each tier, for people who choose. */
export const tierMeaning: Readonly<Record<Tier, string>> = {
  'vm-hardware': 'a virtual machine on hardware virtualization: made for hostile code',
  'vm-pvm':
    'a virtual machine on PVM, for machines without hardware virtualization: it runs at nearly the speed of hardware, and the host’s kernel keeps it apart, by code that is younger than its support for hardware',
  'vm-emulated':
    'a real virtual machine on an emulated CPU: good for trying, tests and CI; its authors do not call emulation a security boundary',
  container: "a container on the host's kernel: only for code you trust",
};
