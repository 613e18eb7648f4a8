import { ipcErrorSchema } from '@fumehood/base';
import { vmDisksMax, vmIdPattern } from '@fumehood/microvm';
import {
  brokerGrantSchema,
  egressPolicySchema,
  jobBrokerMax,
  queueNameSchema,
  receiptSchema,
} from '@fumehood/protocol';
import * as z from 'zod';

const id = z.int().positive();

/** A VM that the agent asks for. The schema bounds the values; `startVm` checks them against the host. */
const vmSpecSchema = z.strictObject({
  id: z.string().regex(vmIdPattern),
  acceleration: z.enum(['kvm', 'emulated']),
  cpus: z.int().min(1).max(64),
  memoryMiB: z.int().min(64).max(1_048_576),
  scratchMiB: z.int().min(16).max(1_048_576),
  disks: z.array(z.string().max(200)).max(vmDisksMax),
});

/** The agent's calls: all that its helper does with VMs. Kills and renewals go to the launcher, over the VM's lease socket. */
export const vmCallSchema = z.discriminatedUnion('type', [
  /** Starts a VM: a clone of a template or, if `boots` or for want of a template, one that boots. */
  z.object({
    type: z.literal('vm.start'),
    id,
    spec: vmSpecSchema,
    boots: z.boolean(),
    /** What the guest may reach; `none`: it has no network interface. */
    policy: egressPolicySchema,
    /** The entries of the broker that the guest can use, with their credentials. */
    broker: z.array(brokerGrantSchema).max(jobBrokerMax),
    /** The queue of the job, for which private hosts may be opened; null: of none. */
    queue: queueNameSchema.nullable(),
  }),
  /** Checks the seccomp filter and the namespaces of the running VMM. */
  z.object({ type: z.literal('vm.check'), id }),
  /** Searches the VM's memory and disk for needles, which are base64. The answer has the number of hits of each. */
  z.object({ type: z.literal('vm.search'), id, needles: z.array(z.base64().max(1024)).max(64) }),
  z.object({ type: z.literal('vm.destroy'), id }),
]);
export type VmCall = z.infer<typeof vmCallSchema>;

const count = z.int().nonnegative();

/** What a VM started from: the id of a template, or the code and the message of why it boots. */
export const vmOriginSchema = z.union([
  z.strictObject({ template: z.string().max(100) }),
  z.strictObject({ boots: z.strictObject({ code: z.string().max(100), message: z.string().max(2000) }) }),
]);

/**
 * The helper's answers. A `vm.socket` carries a socket; they come in the order of `launcherSocketNames`, after `vm.started`, and in that
 * of `guestSocketNames` when the guest has connected.
 */
export const vmAnswerSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('vm.started'), id, origin: vmOriginSchema }),
  z.object({ type: z.literal('vm.socket'), id, name: z.string() }),
  /** The guest will not connect. */
  z.object({ type: z.literal('vm.unconnected'), id, error: ipcErrorSchema }),
  z.object({
    type: z.literal('vm.exited'),
    id,
    exit: z.object({
      code: z.int().nullable(),
      signal: z.int().nullable(),
      reason: z.enum(['exited', 'sealed', 'killed', 'lease', 'start']),
      stderr: z.string(),
    }),
  }),
  /** What a guest asked of the network. The last one comes before `vm.destroyed`. */
  z.object({ type: z.literal('vm.receipt'), id, receipt: receiptSchema }),
  z.object({ type: z.literal('vm.checked'), id }),
  z.object({ type: z.literal('vm.found'), id, searchedBytes: count, found: z.array(count) }),
  z.object({
    type: z.literal('vm.destroyed'),
    id,
    left: z.object({
      processes: count,
      mounts: count,
      namespaces: count,
      loopDevices: count,
      cgroups: count,
      files: count,
    }),
  }),
  /** The refusal of the open call of this VM. */
  z.object({ type: z.literal('vm.refused'), id, error: ipcErrorSchema }),
]);
export type VmAnswer = z.infer<typeof vmAnswerSchema>;
