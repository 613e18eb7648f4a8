import { existsSync, readFileSync, statSync } from 'node:fs';
import { rm, statfs, writeFile } from 'node:fs/promises';
import { availableParallelism, hostname, totalmem } from 'node:os';
import { join } from 'node:path';
import {
  type ExecutorHelperSettings,
  executorHelperConfigSchema,
  type VmmSetting,
  type Vmms,
  vmmSettingSchema,
} from '@fumehood/executor';
import {
  findEmbeddedPostgres,
  type InstanceHelperSettings,
  instanceHelperConfigSchema,
} from '@fumehood/instance';
import { type GuestImage, networkMissing } from '@fumehood/microvm';
import { registriesSchema } from '@fumehood/oci';
import { type EgressPolicy, parseEgressPolicy, type Tier } from '@fumehood/protocol';
import * as z from 'zod';
import { settingsInvalid } from '../errors.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { State } from '../state/state.ts';
import { allocatedBytes } from '../state/usage.ts';
import {
  agentIdentity,
  egressIdentity,
  executorSpawnUid,
  firstVmUid,
  instanceSpawnUid,
} from './identities.ts';
import { portOfKilled } from './port.ts';

/** Most memory for templates of VMs on a large machine, MiB. */
const templatesMaxMiB = 4096;

/** What an admin may change of the instance. */
const ofInstance = instanceHelperConfigSchema.pick({
  databaseUrl: true,
  port: true,
  hosts: true,
  tls: true,
  plain: true,
  url: true,
  shared: true,
  upstream: true,
  compatibility: true,
  retention: true,
  secretsKeyFile: true,
});
/** What an admin may change of the executor. */
const ofExecutor = z.object({
  /** The limit of its cache of images and workspaces; null: a share of the disk. */
  cacheMiB: z.int().positive().nullable().default(null),
  vmm: vmmSettingSchema.default('auto'),
  firecracker: z.string().startsWith('/').nullable().default(null),
  /** Registries on private addresses, without TLS, or with mirrors. */
  registries: registriesSchema.default([]),
  /** What jobs may reach at most, as `run --network` has it. */
  egressCeiling: z.string().transform(policyOf).default({ mode: 'public' }),
  /** Hosts of a private network that guests may reach, by name and port. */
  privateHosts: executorHelperConfigSchema.shape.privateHosts,
  /** Name servers for the guests' questions. */
  nameServers: executorHelperConfigSchema.shape.nameServers,
  /** Certificate authorities that the broker trusts besides those of the machine. */
  brokerCaFile: executorHelperConfigSchema.shape.brokerCaFile,
  /** Docker's `config.json`, with credentials for registries. */
  registryAuthFile: z.string().startsWith('/').nullable().default(null),
  /** Largest image of a registry: its compressed layers together. */
  imageMaxMiB: executorHelperConfigSchema.shape.imageMaxMiB,
});
/** Everything has a default. */
const adminSchema = ofInstance.extend(ofExecutor.shape);
export type AdminSettings = ReturnType<typeof adminSchema.parse>;

/** What is allowed as each setting, for the error about another value. */
const allowed: Readonly<Record<keyof AdminSettings, string>> = {
  databaseUrl: 'postgres://USER[:PASSWORD]@HOST[:PORT]/DATABASE, or null',
  port: 'a whole number from 0 to 65535',
  hosts: 'a list of host names, each in quotes',
  tls: 'null, or {"address": "IP", "port": from 0 to 65535, "certificateFile": "/PATH", "keyFile": "/PATH"}',
  plain: 'null, or {"address": "IP", "port": from 0 to 65535}, for a proxy that ends TLS',
  url: 'https://HOST[:PORT][/PATH], or null',
  shared: '"/PATH" of a directory that the replicas of the instance share, or null',
  upstream: '{"url": "https://HOST" or null, "srcImage": "IMAGE"}',
  compatibility: '{"executorsWithoutJobTokens": true or false}',
  retention:
    '{"jobs", "images", "commits" or "indexes": {"days": up to 36500, "maxMiB": a whole number or null}}',
  secretsKeyFile: '"/PATH" of a file with 64 hexadecimal digits, or null',
  cacheMiB: 'a whole number above 0, or null',
  vmm: '"auto", "qemu" or "firecracker"',
  firecracker: '"/PATH" of a Firecracker binary, or null',
  registries:
    'a list of {"location": "HOST[:PORT][/PATH]", "insecure": true or false, "mirrors": [{"location", "insecure"}]}',
  egressCeiling: '"none", "public" or "allow:HOST[:PORT],…"',
  privateHosts: 'a list of {"name": "HOST", "port": from 1 to 65535, "queues": ["QUEUE"] or null}',
  nameServers: 'null, or a list of "ADDRESS[:PORT]"',
  brokerCaFile: '"/PATH" of a file of PEM certificates, or null',
  imageMaxMiB: 'a whole number above 0',
  registryAuthFile: '"/PATH" of a file as Docker\'s config.json, or null',
};

/** Parses the text of a policy in settings.json. */
function policyOf(text: string, context: z.core.$RefinementCtx): EgressPolicy {
  try {
    return parseEgressPolicy(text);
  } catch {
    context.addIssue('is no policy');
    return z.NEVER;
  }
}

/** Reads `settings.json` of the state directory. Returns the defaults if there is no such file. Errors: `settings_invalid`. */
export function adminSettings(state: State): AdminSettings {
  const file = join(state.root, 'settings.json');
  let value: unknown = {};
  try {
    if (existsSync(file)) value = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw settingsInvalid(file, (error as Error).message);
  }
  const parsed = adminSchema.safeParse(value);
  if (!parsed.success) throw settingsInvalid(file, parsed.error.issues.map(explain).join('; '));
  if (URL.parse(parsed.data.databaseUrl ?? '')?.password && (statSync(file).mode & 0o044) !== 0)
    throw settingsInvalid(
      file,
      `databaseUrl has a password, and other users can read the file (\`chmod 600 ${file}\` changes that)`,
    );
  return parsed.data;
}

/** Says which setting is wrong, why, and what is allowed. Never shows the value, which may hold a password. */
function explain(issue: z.core.$ZodIssue): string {
  const [setting] = issue.path;
  if (typeof setting !== 'string' || !(setting in allowed)) {
    const what =
      issue.code === 'unrecognized_keys' ? `${issue.keys.join(', ')} is no setting` : issue.message;
    return `${what}; allowed are ${Object.keys(allowed).join(', ')}`;
  }
  return `${issue.path.join('.')}: ${issue.message}; allowed is ${allowed[setting as keyof AdminSettings]}`;
}

/** Returns the settings of the instance's helper: those of settings.json, and before them those that are `given`. */
export function instanceHelperSettings(
  state: State,
  runtime: Runtime,
  facts: { readonly version: string; readonly root: boolean },
  given: Partial<AdminSettings> = {},
): InstanceHelperSettings {
  const { version, root } = facts;
  const admin = adminSettings(state);
  const settings = ofInstance.strip().parse({ ...admin, ...given });
  return {
    version,
    state: state.root,
    embeddedPostgres: findEmbeddedPostgres(),
    node: runtime.node,
    script: runtime.instance,
    migrations: runtime.migrations,
    executor: root ? agentIdentity : null,
    spawnUid: root ? instanceSpawnUid : null,
    ...settings,
    hosts: [...new Set([...admin.hosts, ...(given.hosts ?? [])])],
    port: given.port ?? portOfKilled(state) ?? settings.port,
  };
}

/** Returns the settings of the executor's helper: jobs may use most of this machine. */
export async function executorHelperSettings(
  state: State,
  runtime: Runtime,
  facts: {
    readonly version: string;
    readonly root: boolean;
    readonly instanceUrl: string;
    readonly tiers: readonly Tier[];
    readonly labels: readonly string[];
    readonly guest: GuestImage;
    readonly vmm: VmmSetting;
    readonly vmms: Vmms;
  },
): Promise<ExecutorHelperSettings> {
  const disk = await statfs(state.root);
  const freeMiB = Math.floor((disk.bavail * disk.bsize) / 2 ** 20);
  // What the cache holds already counts as free: otherwise its limit would shrink with each start.
  const cachedMiB = (await allocatedBytes(join(state.root, 'executor'))) / 2 ** 20;
  const { registries, registryAuthFile, imageMaxMiB, ...more } = adminSettings(state);
  const { egressCeiling, privateHosts, nameServers, brokerCaFile, ...admin } = more;
  const cacheMiB = admin.cacheMiB ?? Math.max(1024, Math.floor((freeMiB + cachedMiB) / 4));
  const memoryMiB = Math.max(512, Math.floor((totalmem() / 2 ** 20) * 0.75));
  const templatesMiB = Math.min(templatesMaxMiB, Math.floor(memoryMiB / 4));
  return {
    version: facts.version,
    instanceUrl: facts.instanceUrl,
    name: hostname(),
    credentialFile: join(state.run, 'executor-credential'),
    tiers: [...facts.tiers],
    labels: [...facts.labels],
    state: state.root,
    runtime: {
      directory: runtime.directory,
      node: runtime.node,
      agent: runtime.agent,
      diskMaker: runtime.diskMaker,
      src: runtime.src,
      egress: runtime.egress,
    },
    vmm: facts.vmm,
    vmms: facts.vmms,
    launcher: runtime.launcher,
    network: networkMissing() === null ? { program: runtime.network } : null,
    guest: { ...facts.guest },
    identities: facts.root
      ? { agent: agentIdentity, egress: egressIdentity, spawnUid: executorSpawnUid, firstVmUid }
      : null,
    resources: {
      cpus: availableParallelism(),
      memoryMiB: memoryMiB - templatesMiB,
      scratchMiB: Math.max(1024, Math.floor(freeMiB / 2)),
    },
    templatesMiB,
    cacheBytes: cacheMiB * 2 ** 20,
    ...{ registries, registryAuthFile, imageMaxMiB, egressCeiling, privateHosts, nameServers, brokerCaFile },
  };
}

/**
 * Writes the configuration of a process, with this mode: that of the instance may hold the password of a database, that of the executor
 * holds no secret.
 */
export async function writeSettings(file: string, settings: object, mode: 0o600 | 0o644): Promise<void> {
  await rm(file, { force: true }); // an old file would keep its mode
  await writeFile(file, JSON.stringify(settings, null, 2), { mode, flag: 'wx' });
}
