import { egressConfigSchema } from '@fumehood/egress';
import { privateHostSchema, queueNameSchema } from '@fumehood/protocol';
import * as z from 'zod';
import { vmmSettingSchema, vmmsSchema } from '../host/vmms.ts';
import { executorSettings } from '../settings.ts';

const path = z.string().startsWith('/');
const id = z.int().nonnegative();
const identity = z.strictObject({ uid: id, gid: id });

/** A host that the operator opens to the guests of jobs of these queues; null: of all. */
const openedHostSchema = privateHostSchema.extend({
  queues: z.array(queueNameSchema).min(1).nullable().default(null),
});
export type OpenedHost = z.infer<typeof openedHostSchema>;

/** The configuration of the executor's helper: a JSON file, which root alone writes. */
export const helperConfigSchema = z.strictObject({
  ...executorSettings,
  /** The state directory. The agent owns `executor/` in it, and the helper `vms/`. */
  state: path,
  /** Node and the bundled scripts: readable by everybody, writable by root alone. */
  runtime: z.strictObject({
    directory: path,
    node: path,
    agent: path,
    diskMaker: path,
    src: path,
    egress: path,
  }),
  /** The VMM that was asked for, and what was chosen for it on this host. */
  vmm: vmmSettingSchema.default('auto'),
  vmms: vmmsSchema,
  launcher: path,
  /** The program that makes the networks of guests; null where no guest can have one. */
  network: z.strictObject({ program: path }).nullable(),
  /** Hosts that are not on the public internet, and that guests may reach all the same. */
  privateHosts: z.array(openedHostSchema).max(256).default([]),
  nameServers: egressConfigSchema.shape.nameServers,
  /** A PEM file of certificate authorities that the broker trusts besides those of this machine. */
  brokerCaFile: path.nullable().default(null),
  /** Memory for templates of VMs, beside `resources`. */
  templatesMiB: z.int().nonnegative(),
  guest: z.strictObject({ kernel: path, initramfs: path, digest: z.string() }),
  /** Null without root: everything runs as the user who started the helper. */
  identities: z.strictObject({ agent: identity, egress: identity, spawnUid: id, firstVmUid: id }).nullable(),
});
export type HelperConfig = z.infer<typeof helperConfigSchema>;
/** The configuration as it is written: fields with a default may be left out. */
export type HelperSettings = z.input<typeof helperConfigSchema>;

/** `run/executor.json`, which exists while the agent runs. */
export const executorFileSchema = z.object({
  pid: z.int(),
  agentPid: z.int(),
  /** The instance has accepted the agent's first heartbeat. */
  connected: z.boolean(),
});
export type ExecutorFile = z.infer<typeof executorFileSchema>;
