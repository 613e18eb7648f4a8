import { chownSync } from 'node:fs';
import { join } from 'node:path';
import {
  type Clock,
  removalCommands,
  type Running,
  type SpawnPolicy,
  serveSpawn,
  startChild,
  untilStarted,
} from '@fumehood/base';
import { commitCommands } from '@fumehood/git';
import type { InstanceConfig } from '../config.ts';
import { backendCommand } from '../repos/backend.ts';
import { mirrorsName, mirrorStoreCommands } from '../repos/mirrors.ts';
import { storeCommands } from '../repos/store.ts';
import { instanceFailed } from '../start-errors.ts';
import type { HelperConfig } from './config.ts';
import { type Listening, listeningSchema } from './messages.ts';
import { writeAtomically } from './secrets.ts';
import type { InstanceUsers } from './users.ts';

/** The time that an instance has to end after SIGTERM. */
const stopMs = 10_000;

export interface RunningInstance extends Running {
  readonly listening: Listening;
}

/**
 * Starts the instance as its own user and serves its calls: programs under the Spawn profile. Resolves when the instance listens.
 * Errors: `instance_failed`, and what the instance reports.
 */
export async function startInstanceProcess(
  config: HelperConfig,
  instanceConfig: InstanceConfig,
  users: InstanceUsers,
  clock: Clock,
): Promise<RunningInstance> {
  const file = join(config.state, 'instance/config.json');
  writeAtomically(file, JSON.stringify(instanceConfig), 0o600);
  if (users.root) chownSync(file, users.instance.uid, users.instance.gid);
  const child = await startChild({
    node: config.node,
    script: config.script,
    config: file,
    identity: users.root ? users.instance : null,
  });
  serveSpawn(child.process, spawnPolicy(config.spawnUid, instanceConfig.directories.repositories, users));
  const listening = await untilStarted(child, listeningSchema, instanceFailed);
  return {
    exited: child.exited,
    listening,
    async stop() {
      child.process.kill('SIGTERM');
      const ended = new AbortController();
      await Promise.race([child.exited, clock.sleep(stopMs, ended.signal).catch(() => {})]);
      ended.abort();
      child.process.kill('SIGKILL');
      await child.exited;
    },
  };
}

function spawnPolicy(
  spawnUid: number | null,
  repositories: string,
  { instance }: InstanceUsers,
): SpawnPolicy {
  return {
    // The instance's group, so that the instance can read and remove what the programs write.
    identity: spawnUid === null ? null : { uid: spawnUid, gid: instance.gid },
    commands: [
      ...storeCommands(repositories),
      backendCommand(repositories),
      ...mirrorStoreCommands(join(repositories, mirrorsName)),
      ...commitCommands(join(repositories, mirrorsName)),
      ...removalCommands(repositories),
    ],
    group: null,
    maxProcesses: 16,
  };
}
