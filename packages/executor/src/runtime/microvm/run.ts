import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type Clock,
  type FileCache,
  type FileCacheUse,
  factsOf,
  isSharedFailure,
  removeTree,
  type Spawn,
} from '@fumehood/base';
import {
  type BrokerGrant,
  type EgressPolicy,
  narrowEgress,
  type Receipt,
  type Tier,
} from '@fumehood/protocol';
import { type Guest, type LeftOver, openMonitor, type VmSpec } from '@fumehood/microvm';
import { type FetchMemory, openFetchMemory, type Registries } from '@fumehood/oci';
import { guestSilent } from '../../errors.ts';
import type { UpstreamJobs } from '../../settings.ts';
import { storeIndex, type UploadClient, uploadIndex } from '../../upload/upload.ts';
import type { Credential } from '../../uplink/credential.ts';
import type { Route } from '../../uplink/network-route.ts';
import type { JobClient } from '../../uplink/job-client.ts';
import { openJobStdin, terminalDecoder } from '../../uplink/job-stdin.ts';
import type { Lease } from '../../uplink/leases.ts';
import type { PhaseLog } from '../../uplink/log-entry.ts';
import { openPhaseLog } from '../../uplink/phase-log.ts';
import type { RunOutcome, RunResult, Runtime } from '../runtime.ts';
import { startGuest, explainFailure, type RunningVm } from './start-guest.ts';
import { type GuestLimits, withinTime } from './guest-limits.ts';
import type { Vmms } from '../../host/vmms.ts';
import { isEndOfCommand, sendArtifacts, takeArtifacts } from './artifacts.ts';
import { bootCanary } from './canary.ts';
import { brokerSecrets, registrySecrets, searchVm } from './inspect.ts';
import { beginPhaseLog, type PhaseDeps, runPhase, writeLine } from './phase.ts';
import { prepareDisks } from './prepare-disks.ts';
import { guestPaths, prepareGuest } from './prepare-guest.ts';
import { checkCommands, runSteps, scriptFiles } from './steps.ts';
import { type ValidatedJob, validateJob } from './validate-job.ts';
import { type JobReceipts, openReceipts } from './receipts.ts';
import { type Stage, verdictOf } from './verdict.ts';
import { accelerationOf, chooseTier, vmmOfTier, vmSpec } from './vm-plan.ts';
import type { AgentVm, VmSource } from './vm-source.ts';

/** What the runtime needs for every job. */
export interface MicrovmDeps {
  readonly vms: VmSource;
  /** The VMMs of these VMs. The name of its VMM is stored with every attempt. */
  readonly vmms: Vmms;
  readonly spawn: Spawn;
  readonly clock: Clock;
  readonly instanceUrl: string;
  readonly executorName: string;
  /** No job may hold this credential. An inspection searches the VM for it. */
  readonly credential: Pick<Credential, 'secret'>;
  readonly upstream: UpstreamJobs;
  readonly guestLimits: GuestLimits;
  readonly tiers: readonly Tier[];
  /** The files in `disks` and `blobs`. */
  readonly cache: FileCache;
  readonly directories: {
    /** Read-only disks. The helper opens them by their names. */
    readonly disks: string;
    /** Image archives. */
    readonly blobs: string;
    /** Has one directory for each running job, removed at the job's end. */
    readonly work: string;
  };
  readonly uploadClient: UploadClient;
  /** The bundled disk maker, which runs on the same Node. */
  readonly diskMaker: string;
  readonly registries: Registries;
  /** How this machine reaches others: registries are asked through its proxy, too. */
  readonly route: Pick<Route, 'proxy'>;
  /** Docker's `config.json`, with the credentials of this executor for registries. */
  readonly registryAuthFile: string | null;
  /** Largest image of a registry. */
  readonly imageMaxMiB: number;
  /** Whether guests can have a network. */
  readonly network: boolean;
  /** What guests may reach at most. */
  readonly egressCeiling: EgressPolicy;
}

/** Bytes of the largest index file that is taken out of a guest: 2 GiB. The file is stored on the host until it is uploaded. */
const indexMax = 2 * 2 ** 30;

/** Returns the runtime that runs jobs in microVMs. */
export function microvmRuntime(deps: MicrovmDeps): Runtime {
  const fetchMemory = openFetchMemory(deps.clock);
  return {
    run: async (job, lease, client) =>
      runInVm({ ...deps, fetchMemory }, validateJob(job, deps), lease, client),
    tryMachine: (resources, stopped) => bootCanary(deps, resources, stopped),
  };
}

/** What a run measures while it goes on. */
type Measured = { -readonly [K in keyof Omit<RunResult, 'tier' | 'vmm'>]: RunResult[K] };

interface RunDeps extends MicrovmDeps {
  readonly fetchMemory: FetchMemory;
}

interface Run extends PhaseDeps {
  readonly deps: RunDeps;
  readonly job: ValidatedJob;
  readonly measured: Measured;
  readonly cache: FileCacheUse;
  vm: AgentVm | null;
  stage: Stage;
  /** What the guest may reach: what the job asks for, within the ceiling of this executor. */
  readonly policy: EgressPolicy;
  /** The entries of the broker that the guest can use, under every policy. */
  readonly broker: readonly BrokerGrant[];
  readonly receipts: JobReceipts;
  /** Ends the running step; null while no step runs. */
  endStep: (() => void) | null;
}

/** Runs a validated job in a fresh VM, and destroys the VM whatever happens. */
async function runInVm(
  deps: RunDeps,
  job: ValidatedJob,
  lease: Lease,
  client: JobClient,
): Promise<RunOutcome> {
  const measured: Measured = { exitCode: null, guest: null, inspection: null, leftOver: {} };
  const policy = narrowEgress(deps.egressCeiling, job.fumehood.network);
  const run: Run = {
    cache: deps.cache.open(),
    ...{ deps, clock: deps.clock, job, lease, client, measured, vm: null, stage: 'disks' },
    ...{ ends: [], endStep: null, policy, broker: job.fumehood.broker ?? [] },
    receipts: openReceipts(client, policy, deps.clock, lease.lost),
  };
  let tier: Tier | null = null;
  let failure: unknown = null;
  let isShared = false;
  let work: string | null = null;
  try {
    tier = chooseTier(job.fumehood.accept, deps.tiers);
    work = await mkdtemp(join(deps.directories.work, `job-${job.id}-`));
    await chmod(work, 0o710); // programs with another uid and this process's group work below it
    await runPhases(run, tier, work);
    await Promise.all(run.ends);
  } catch (error) {
    isShared = isSharedFailure(error);
    failure = await explainFailure(error, run.vm, lease);
    await Promise.allSettled(run.ends);
  }
  try {
    await tearDown(run);
  } catch (error) {
    failure ??= await explainFailure(error, null, lease);
  }
  if (work) await removeTree(deps.spawn, work);
  run.cache.close();
  // A failure that several jobs share says as much about this machine as one job does.
  const machine = isShared ? null : verdictOf(failure, run.stage);
  const vmm = tier && (deps.vmms[accelerationOf(tier)]?.name ?? null);
  return { result: tier && { tier, vmm, ...measured }, failure, machine };
}

async function runPhases(run: Run, tier: Tier, work: string): Promise<void> {
  const { deps, job, lease, client, measured } = run;
  const { guestLimits: limits } = deps;
  const inTime = <T>(vm: AgentVm, ms: number, action: string, work: Promise<T>) =>
    withinTime(deps.clock, vm, ms, work, () => guestSilent(action, ms));
  const scripts = scriptFiles(job);
  if (job.exposed)
    await runPhase(run, 'setup.credential', (log) =>
      writeLine(log, 'credential exposed: the steps can read the credential that their instance sent'),
    );
  const { secrets = [] } = job.fumehood;
  if (secrets.length > 0)
    await runPhase(run, 'setup.credential', (log) =>
      writeLine(log, `secrets exposed: the steps can read ${secrets.join(', ')}`),
    );
  const { node } = deps.uploadClient;
  const { images, plan } = await prepareDisks({ ...deps, node, cache: run.cache }, job, run);
  const hostname = `job-${job.id}`;
  const control = randomBytes(24).toString('hex');
  const marker = job.fumehood.inspect ? { FUMEHOOD_CONTROL: control } : {};
  const command = { job, images, hostname, extraEnvironment: marker };
  checkCommands(command);
  run.stage = 'boot';
  const prepare = (guest: Guest) =>
    prepareGuest(guest, plan, {
      hostname,
      network: hasNetwork(run),
      files: { ...scripts, ...marker },
    });
  const { guest, vm, facts, prepared } = await runPhase(run, 'setup.vm', (log) =>
    startWithRetry(run, () => vmSpec(job, tier, plan), prepare, log),
  );
  measured.guest = { kernel: facts.kernel, interfaces: facts.interfaces };
  run.stage = 'guest';
  await runPhase(run, 'setup.guest', async (log) => {
    await inTime(vm, limits.setupMs, 'mount its disks', prepared);
    await writeLine(log, `kernel ${facts.kernel}, clock within ${facts.clockErrorMs} ms`);
  });
  const steps = runSteps(
    {
      ...{ ...command, guest, vm, limits, lease, clock: deps.clock },
      openLog: (key, command) => beginStepLog(run, key, command),
      openStdin: (resize) =>
        openJobStdin(client, lease.stopped, job.fumehood.terminal && terminalDecoder(resize)),
      setEndStep: (endStep) => {
        run.endStep = endStep;
      },
    },
    (exitCode) => {
      measured.exitCode = exitCode;
    },
  );
  const { artifacts } = job.fumehood;
  await (artifacts.length === 0 ? steps : bringBack(run, guest, vm, join(work, 'artifacts'), steps));
  const { upload } = job;
  const uploads = join(work, 'upload');
  if (upload) {
    await runPhase(run, 'collect', async (log) => {
      const { file: path } = upload;
      const root = guestPaths.workspace;
      // Init reads the file as root of the guest: a step may have written it as any user.
      const who = { root, uid: 0, gid: 0 };
      const request = { id: 'index', ...who, path, as: 'file' as const, maxBytes: indexMax };
      const stored = storeIndex(uploads, guest.collect(request));
      await inTime(vm, limits.collectMs, `give ${path} out`, stored);
      await writeLine(log, `took ${path} out of the workspace`);
    });
  }
  if (job.fumehood.inspect) {
    await runPhase(run, 'inspect', async (log) => {
      const monitor = openMonitor(vmmOfTier(deps.vmms, tier), (await vm.guest).monitor);
      await inTime(vm, limits.pauseMs, 'pause', monitor.pause());
      measured.inspection = await searchVm(
        vm,
        [
          deps.credential.secret,
          job.token,
          ...registrySecrets(job.dockerAuthConfig?.auths),
          ...brokerSecrets(run.broker),
        ],
        control,
      );
      await writeLine(log, JSON.stringify(measured.inspection));
    });
  }
  if (upload) {
    await runPhase(run, 'upload', (log) => {
      const { spawn, uploadClient, instanceUrl, executorName } = deps;
      const uploadDeps = {
        spawn,
        client: uploadClient,
        instanceUrl,
        executorName,
        native: client.native,
        log,
        stopped: lease.stopped,
      };
      return uploadIndex(uploadDeps, job, upload, uploads);
    });
  }
}

/**
 * Sends what the job brings back to the instance when its steps have ended, also when its command failed: what a failed test leaves is
 * wanted most. Errors: that of the steps, which goes before all others; `artifact_…`, `guest_silent`, `instance_…`.
 */
async function bringBack(
  run: Run,
  guest: Guest,
  vm: AgentVm,
  directory: string,
  steps: Promise<void>,
): Promise<void> {
  const { deps, job, client, lease } = run;
  const { clock, guestLimits } = deps;
  const ended: unknown = await steps.then(
    () => null,
    (error: unknown) => error,
  );
  if (ended !== null && !isEndOfCommand(ended)) throw ended;
  try {
    await runPhase(run, 'collect', async (log) => {
      const ms = guestLimits.collectMs;
      const until = clock.bootTime() + ms; // for all paths together
      const inTime = <T>(path: string, taking: Promise<T>) =>
        withinTime(clock, vm, Math.max(0, until - clock.bootTime()), taking, () =>
          guestSilent(`give ${path} out`, ms),
        );
      const { taken, failure } = await takeArtifacts(guest, job.fumehood.artifacts, directory, log, inTime);
      await sendArtifacts(client, taken, lease.stopped);
      if (failure !== null) throw failure;
    });
  } catch (error) {
    throw ended ?? error;
  }
  if (ended !== null) throw ended;
}

/** Begins the log entry of a step, in which refusals of the network are explained while the step runs. */
function beginStepLog(run: Run, key: string, command: readonly string[]): PhaseLog {
  const { log } = beginPhaseLog(run, key, command);
  const endStep = run.receipts.beginStep(key, (line) => void writeLine(log, line, 'stderr').catch(() => {}));
  return {
    write: (stream, chunk) => log.write(stream, chunk),
    async end(exitCode) {
      endStep();
      await log.end(exitCode);
    },
  };
}

/**
 * Starts the VM, as a clone where there is a template. If it does not come up, it is destroyed, and another one boots, once: a guest
 * that boots needs no template.
 */
async function startWithRetry(
  run: Run,
  newSpec: () => VmSpec,
  prepare: (guest: Guest) => Promise<void>,
  log: PhaseLog,
): Promise<RunningVm> {
  const { deps, lease } = run;
  const start = async (boots: boolean) => {
    const onReceipt = (receipt: Receipt) => run.receipts.add(receipt);
    const { policy, broker } = run;
    const options = { boots, prepare, policy, broker, queue: run.job.queue ?? null, onReceipt };
    const started = await startGuest(deps.vms, newSpec(), options, lease, deps.clock, (vm) => {
      run.vm = vm;
      const stop = () => {
        if (run.endStep) run.endStep();
        else vm.kill();
      };
      lease.stopped.addEventListener('abort', stop, { once: true });
    });
    const { origin } = started.vm;
    await writeLine(
      log,
      'template' in origin
        ? `cloned from ${origin.template}`
        : `booted: ${origin.boots.message} (${origin.boots.code})`,
    );
    return started;
  };
  try {
    return await start(false);
  } catch (error) {
    if (factsOf(error).code !== 'guest_not_ready' || lease.stopped.aborted) throw error;
    await writeLine(log, `${factsOf(error).message}; trying once more`, 'stderr');
    await destroyVm(run);
    return start(true);
  }
}

async function destroyVm(run: Run): Promise<LeftOver | null> {
  const { vm } = run;
  run.vm = null;
  const left = (await vm?.destroy()) ?? null;
  for (const [name, count] of Object.entries(left ?? {}))
    run.measured.leftOver[name] = (run.measured.leftOver[name] ?? 0) + count;
  return left;
}

/** Destroys the VM without waiting for its log entry, which may fail to open, and sends what its network still has to say. */
async function tearDown(run: Run): Promise<void> {
  if (!run.vm) return;
  const opening = run.lease.lost.aborted
    ? null
    : openPhaseLog(run.client, run.clock, 'teardown.vm', []).catch(() => null);
  const endReceipts = async () => {
    if (hasNetwork(run)) await run.receipts.end();
  };
  const left = await destroyVm(run).catch(async (error: unknown) => {
    await endReceipts().catch(() => {}); // the first error is the cause
    throw error;
  });
  const writeEntry = async () => {
    const log = await opening;
    if (!log) return;
    await writeLine(log, `left on the host: ${JSON.stringify(left)}`);
    await log.end(0);
  };
  await Promise.all([writeEntry(), endReceipts()]);
}

const hasNetwork = ({ policy, broker }: Run) => policy.mode !== 'none' || broker.length > 0;
