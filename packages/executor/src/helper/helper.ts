import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, chown, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Clock, serveSpawn } from '@fumehood/base';
import { canLimit, qemu, sweepVms, type Vmm } from '@fumehood/microvm';
import type { AgentConfig } from '../agent/config.ts';
import { agentFailed } from '../errors.ts';
import type { Log } from '../log.ts';
import { uploadProgram } from '../upload/upload.ts';
import type { HelperConfig } from './config.ts';
import { serveVms } from './serve-vms.ts';

/** What the agent may have run with a tenant's bytes. */
const programs = ['/usr/bin/git', '/usr/bin/sqfstar', '/usr/bin/unsquashfs', uploadProgram];
const maxVms = 256;
/** Before an agent that died is started again. */
const pauseMs = 1_000;

export interface Helper {
  /** Resolves when the agent has ended and nothing of its VMs is left. */
  readonly ended: Promise<void>;
  /** The agent leases no more and ends with its last job; a second call stops its jobs. */
  stop(): void;
}

interface HelperDeps {
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * The executor's privileged process: it starts the agent under its own user, and does for it what needs privilege, in a
 * fixed vocabulary: VMs, and programs under the Spawn profile. An agent that dies takes its VMs with it and is started again.
 * Errors: `agent_failed` when the first one does not come up.
 */
export async function startHelper(config: HelperConfig, deps: HelperDeps): Promise<Helper> {
  const { clock, log } = deps;
  const places = await makeDirectories(config);
  const vmm = qemu(config.qemu);
  const cgroups = await canLimit();
  const sweep = () => sweepVms(places.vms);
  const swept = await sweep();
  if (swept.found > 0) log.warn({ swept }, 'a crash had left virtual machines');
  const agentConfig = join(config.state, 'executor/config.json');
  await writeFile(agentConfig, JSON.stringify(agentConfigOf(config, places, vmm)), { mode: 0o644 });
  const runFile = join(config.state, 'run/executor.json');

  const start = async () => {
    const child = startAgent(config, agentConfig);
    const exited = once(child, 'exit');
    serveSpawn(child, {
      identity: config.identities && { uid: config.identities.spawnUid, gid: config.identities.agent.gid },
      programs,
      bindRoots: [join(config.state, 'executor'), config.runtime.directory],
      maxProcesses: 64,
    });
    const vms = serveVms(child, {
      host: {
        vmm,
        launcher: config.launcher,
        guest: config.guest,
        diskDirectory: places.disks,
        diskOwner: config.identities?.agent.uid ?? process.getuid?.() ?? 0,
        runDirectory: places.vms,
        cgroups,
      },
      firstUid: config.identities?.firstVmUid ?? null,
      maxVms,
    });
    const [first] = await Promise.race([once(child, 'message'), exited]);
    if (first !== 'working') throw agentFailed(String(child.exitCode ?? child.signalCode));
    const running = { pid: process.pid, agentPid: child.pid, name: config.name };
    await writeFile(runFile, JSON.stringify(running), { mode: 0o644 }).catch(async (error: unknown) => {
      child.kill('SIGKILL'); // or there would soon be two
      await exited;
      await vms.destroyAll();
      throw error;
    });
    const gone = exited.then(async () => {
      await vms.destroyAll();
      await rm(runFile, { force: true });
    });
    return { child, gone };
  };

  let stops = 0;
  const stopping = new AbortController();
  let current = await start();
  const ended = (async () => {
    for (;;) {
      await current.gone;
      if (stops > 0) return;
      log.warn(
        { code: current.child.exitCode, signal: current.child.signalCode },
        'the agent died; it is started again',
      );
      await clock.sleep(pauseMs, stopping.signal).catch(() => {});
      if (stops > 0) return;
      await sweep();
      current = await start().catch(async (error: unknown) => {
        log.warn({ error }, 'the agent did not start');
        return current;
      });
    }
  })();
  return {
    ended,
    stop() {
      stops += 1;
      stopping.abort();
      // The agent counts them too: drain, then stop.
      current.child.kill('SIGTERM');
    },
  };
}

interface Places {
  readonly disks: string;
  readonly blobs: string;
  readonly work: string;
  readonly vms: string;
}

/** The agent's directories can be entered, not listed: programs of another user work below them. */
async function makeDirectories({ state, identities }: HelperConfig): Promise<Places> {
  const made = async (path: string, mode: number, owned: boolean) => {
    await mkdir(path, { recursive: true });
    await chmod(path, mode);
    if (owned && identities) await chown(path, identities.agent.uid, identities.agent.gid);
    return path;
  };
  const root = await made(join(state, 'executor'), 0o755, false);
  await made(join(state, 'run'), 0o755, false);
  return {
    disks: await made(join(root, 'disks'), 0o711, true),
    blobs: await made(join(root, 'blobs'), 0o711, true),
    work: await made(join(root, 'work'), 0o711, true),
    vms: await made(join(state, 'vms'), 0o700, false),
  };
}

function agentConfigOf(config: HelperConfig, places: Places, vmm: Vmm): AgentConfig {
  const { instanceUrl, route, name, version, credentialFile, tiers, labels, queues, upstream } = config;
  const { resources, cacheBytes, runtime, registries, registryAuthFile } = config;
  const { disks, blobs, work } = places;
  return {
    ...{
      instanceUrl,
      route,
      name,
      version,
      credentialFile,
      tiers,
      labels,
      queues,
      upstream,
      registries,
      registryAuthFile,
      resources,
      cacheBytes,
    },
    vmm: vmm.name,
    directories: { disks, blobs, work },
    uploadClient: { node: runtime.node, script: runtime.src },
  };
}

function startAgent({ runtime, identities }: HelperConfig, file: string): ChildProcess {
  const ids = identities
    ? [
        `--reuid=${identities.agent.uid}`,
        `--regid=${identities.agent.gid}`,
        '--clear-groups',
        '--inh-caps=-all',
        '--bounding-set=-all',
      ]
    : [];
  // It dies with its helper, however that ends.
  return spawn(
    'setpriv',
    [...ids, '--no-new-privs', '--pdeathsig', 'KILL', runtime.node, runtime.agent, file],
    {
      cwd: '/',
      env: { LC_ALL: 'C.UTF-8', NODE_ENV: 'production' },
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    },
  );
}
