import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { getCACertificates } from 'node:tls';
import {
  receiveMessages,
  type Running,
  type SpawnPolicy,
  serveSpawn,
  startChild,
  systemClock,
  untilStarted,
} from '@fumehood/base';
import { egressConfigSchema } from '@fumehood/egress';
import * as z from 'zod';
import { readCertificates } from '../uplink/network-route.ts';
import type { AgentConfig } from '../agent/config.ts';
import { agentFailed } from '../errors.ts';
import type { Log } from '../log.ts';
import { agentCommands } from './commands.ts';
import type { ExecutorFile, HelperConfig } from './config.ts';
import { openVmms } from '../host/vmms.ts';
import type { Directories } from './directories.ts';
import { openNetworks } from './networks.ts';
import { networkGroup, networkMemory, programGroups } from './program-groups.ts';
import { serveVms, type VmPolicy } from './serve-vms.ts';
import { hostTemplates } from './templates.ts';

const maxVms = 256;

/** What the agent says once the instance has accepted its first heartbeat. */
const connectedSchema = z.object({ type: z.literal('agent.connected') });

/**
 * Starts the agent as its own user and serves its calls: VMs, and programs under the Spawn profile. When the agent has exited, none
 * of its VMs is left. Errors: `agent_failed`, and what the agent reports.
 */
export async function startAgentProcess(
  config: HelperConfig,
  directories: Directories,
  cgroups: boolean,
  log: Log,
): Promise<Running> {
  const agentConfigFile = join(config.state, 'executor/config.json');
  const agentConfig = agentConfigOf(config, directories);
  await writeFile(agentConfigFile, JSON.stringify(agentConfig), { mode: 0o644 });
  const child = await startChild({
    node: config.runtime.node,
    script: config.runtime.agent,
    config: agentConfigFile,
    identity: config.identities && config.identities.agent,
  });
  serveSpawn(child.process, spawnPolicy(config, cgroups));
  const egressConfigFile = join(config.state, 'executor/egress.json');
  await writeFile(egressConfigFile, JSON.stringify(await egressConfigOf(config, cgroups)), { mode: 0o644 });
  const networks = openNetworks(
    {
      node: config.runtime.node,
      script: config.runtime.egress,
      config: egressConfigFile,
      identity: config.identities && config.identities.egress,
      group: cgroups ? networkGroup(config.state) : null,
    },
    { ceiling: config.egressCeiling, privateHosts: config.privateHosts },
    systemClock,
    log,
  );
  const vms = serveVms(child.process, {
    ...vmPolicy(config, directories, cgroups, log),
    networks,
    egressCeiling: config.egressCeiling,
  });
  const file = join(config.state, 'run/executor.json');
  const facts: ExecutorFile = { pid: process.pid, agentPid: child.process.pid as number, connected: false };
  receiveMessages(child.process, connectedSchema, () => {
    void writeFile(file, JSON.stringify({ ...facts, connected: true } satisfies ExecutorFile)).catch(
      () => {},
    );
  });
  try {
    await untilStarted(child, z.object({}), agentFailed);
    await writeFile(file, JSON.stringify(facts), { mode: 0o644 });
  } catch (error) {
    child.process.kill('SIGKILL'); // otherwise the next start would make a second agent
    await child.exited;
    await vms.destroyAll();
    throw error;
  }
  const exited = child.exited.then(async (exit) => {
    await vms.destroyAll();
    await rm(file, { force: true });
    return exit;
  });
  return {
    exited,
    async stop() {
      // The agent drains at the first SIGTERM and stops its jobs at the second.
      child.process.kill('SIGTERM');
      await exited;
    },
  };
}

/** Errors: `ca_unusable`. */
async function egressConfigOf(
  { nameServers, route, brokerCaFile }: HelperConfig,
  cgroups: boolean,
): Promise<z.input<typeof egressConfigSchema>> {
  const files = [route.caFile, brokerCaFile].filter((file) => file !== null);
  const own = (await Promise.all(files.map(readCertificates))).flat();
  const certificates = [...getCACertificates('system'), ...own];
  const memoryBytes = cgroups ? networkMemory() : null;
  return { nameServers, httpProxy: route.proxy, certificates, memoryBytes };
}

function agentConfigOf(config: HelperConfig, { disks, blobs, work }: Directories): AgentConfig {
  const { instanceUrl, route, name, version, credentialFile, tiers, labels, queues, upstream } = config;
  const { resources, cacheBytes, runtime, registries, registryAuthFile, imageMaxMiB, egressCeiling, vmms } =
    config;
  return {
    ...{ instanceUrl, route, name, version, credentialFile, tiers, labels, queues, upstream },
    ...{ resources, cacheBytes, registries, registryAuthFile, imageMaxMiB, egressCeiling, vmms },
    network: config.network !== null && egressCeiling.mode !== 'none',
    directories: { disks, blobs, work },
    uploadClient: { node: runtime.node, script: runtime.src },
    diskMaker: runtime.diskMaker,
  };
}

function spawnPolicy({ identities, runtime, state }: HelperConfig, cgroups: boolean): SpawnPolicy {
  return {
    // The agent's group, so that the agent can read and remove what the programs write.
    identity: identities && { uid: identities.spawnUid, gid: identities.agent.gid },
    commands: agentCommands(runtime, join(state, 'executor')),
    group: cgroups ? programGroups(state) : null,
    maxProcesses: 64,
  };
}

function vmPolicy(
  { launcher, network, guest, identities, resources, templatesMiB, vmms: chosen }: HelperConfig,
  { disks, vms }: Directories,
  cgroups: boolean,
  log: Log,
): Omit<VmPolicy, 'networks' | 'egressCeiling'> {
  const host = {
    cgroups,
    launcher,
    network,
    guest,
    diskDirectory: disks,
    diskOwner: identities?.agent.uid ?? process.getuid?.() ?? 0,
    diskGroup: identities && identities.firstVmUid + maxVms + 1, // after the user of templates
    runDirectory: vms,
  };
  const vmms = openVmms(chosen);
  const templateUid = identities && identities.firstVmUid + maxVms;
  return {
    host,
    vmms,
    templates: hostTemplates(host, vmms, templateUid, templatesMiB, log),
    resources,
    firstUid: identities?.firstVmUid ?? null,
    maxVms,
  };
}
