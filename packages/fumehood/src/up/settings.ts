import { existsSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { availableParallelism, hostname, totalmem } from 'node:os';
import { join } from 'node:path';
import { statfs } from 'node:fs/promises';
import type { ExecutorHelperSettings } from '@fumehood/executor';
import {
  findEmbeddedPostgres,
  type InstanceHelperSettings,
  instanceHelperConfigSchema,
} from '@fumehood/instance';
import type { GuestImage } from '@fumehood/microvm';
import type { Tier } from '@fumehood/protocol';
import type { Runtime } from '../runtime/runtime.ts';
import { settingsInvalid } from '../errors.ts';
import type { State } from '../state/state.ts';
import { portOfKilled } from './port.ts';
import { agentIdentity, executorSpawnUid, firstVmUid, instanceSpawnUid } from './identities.ts';

export const qemuPath = '/usr/bin/qemu-system-x86_64';

/** Settings of the instance that an admin may change. All of them have defaults. */
const adminSchema = instanceHelperConfigSchema.pick({
  port: true,
  hosts: true,
  tls: true,
  upstream: true,
  compatibility: true,
  retention: true,
});
type AdminSettings = ReturnType<typeof adminSchema.parse>;

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
  if (parsed.success) return parsed.data;
  const issues = parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`);
  throw settingsInvalid(file, issues.join('; '));
}

/** Returns the settings of the instance's helper. */
export function instanceHelperSettings(
  state: State,
  runtime: Runtime,
  facts: { readonly version: string; readonly root: boolean },
): InstanceHelperSettings {
  const { version, root } = facts;
  const settings = adminSettings(state);
  return {
    version,
    state: state.root,
    databaseUrl: null,
    embeddedPostgres: findEmbeddedPostgres(),
    node: runtime.node,
    script: runtime.instance,
    migrations: runtime.migrations,
    executor: root ? agentIdentity : null,
    spawnUid: root ? instanceSpawnUid : null,
    ...settings,
    port: portOfKilled(state) ?? settings.port,
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
  },
): Promise<ExecutorHelperSettings> {
  const disk = await statfs(state.root);
  const freeMiB = Math.floor((disk.bavail * disk.bsize) / 2 ** 20);
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
    },
    qemu: qemuPath,
    launcher: runtime.launcher,
    guest: { ...facts.guest },
    identities: facts.root ? { agent: agentIdentity, spawnUid: executorSpawnUid, firstVmUid } : null,
    resources: {
      cpus: availableParallelism(),
      memoryMiB: Math.max(512, Math.floor((totalmem() / 2 ** 20) * 0.75)),
      scratchMiB: Math.max(1024, Math.floor(freeMiB / 2)),
    },
    cacheBytes: Math.max(2 ** 30, Math.floor((freeMiB / 4) * 2 ** 20)),
  };
}

/** Writes the configuration of a process. It contains no secret, so all users may read it. */
export async function writeSettings(file: string, settings: object): Promise<void> {
  await writeFile(file, JSON.stringify(settings, null, 2), { mode: 0o644 });
}
