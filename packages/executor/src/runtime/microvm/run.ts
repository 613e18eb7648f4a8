import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { isSharedFailure, removeTree } from '@fumehood/base';
import { narrowEgress, type Tier } from '@fumehood/protocol';
import { type Guest, openMonitor } from '@fumehood/microvm';
import { openFetchMemory } from '@fumehood/oci';
import { guestSilent } from '../../errors.ts';
import { storeIndex, uploadIndex } from '../../upload/upload.ts';
import type { JobClient } from '../../uplink/job-client.ts';
import { openJobStdin, terminalDecoder } from '../../uplink/job-stdin.ts';
import type { Lease } from '../../uplink/leases.ts';
import type { PhaseLog } from '../../uplink/log-entry.ts';
import type { RunOutcome, Runtime } from '../runtime.ts';
import { explainFailure } from './start-guest.ts';
import { withinTime } from './guest-limits.ts';
import { isEndOfCommand, sendArtifacts, takeArtifacts } from './artifacts.ts';
import { runBatchSteps } from './batch-steps.ts';
import { bootCanary } from './canary.ts';
import { brokerSecrets, registrySecrets, searchVm } from './inspect.ts';
import { startWithRetry, tearDown } from './job-vm.ts';
import { beginPhaseLog, runPhase, writeLine } from './phase.ts';
import { prepareDisks } from './prepare-disks.ts';
import { guestPaths, prepareGuest } from './prepare-guest.ts';
import { hasNetwork, type Measured, type MicrovmDeps, type Run, type RunDeps } from './run-state.ts';
import { checkCommands, runSteps, scriptFiles, type StepDeps } from './steps.ts';
import { type ValidatedJob, validateJob } from './validate-job.ts';
import { openReceipts } from './receipts.ts';
import { verdictOf } from './verdict.ts';
import { accelerationOf, chooseTier, vmmOfTier, vmSpec } from './vm-plan.ts';
import type { AgentVm } from './vm-source.ts';

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
  if (!job.fumehood.batch) checkCommands(command); // the commands of a batch job come one by one
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
  const stepDeps: StepDeps = {
    ...{ ...command, guest, vm, limits, lease, clock: deps.clock },
    openLog: (key, command) => beginStepLog(run, key, command),
    openStdin: (resize) =>
      openJobStdin(client, lease.stopped, job.fumehood.terminal && terminalDecoder(resize)),
    setEndStep: (endStep) => {
      run.endStep = endStep;
    },
  };
  const onExit = (exitCode: number) => {
    measured.exitCode = exitCode;
  };
  const diffs = { client, cache: run.cache, blobs: deps.directories.blobs, work: join(work, 'diffs') };
  const steps = job.fumehood.batch
    ? runBatchSteps({ ...stepDeps, ...diffs }, onExit)
    : runSteps(stepDeps, onExit);
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
