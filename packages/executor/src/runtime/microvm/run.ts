import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Clock, factsOf, type Spawn } from '@fumehood/base';
import type { LeftOver } from '@fumehood/microvm';
import type { ImageDisk, Registries } from '@fumehood/oci';
import type { Tier } from '@fumehood/protocol';
import type { UpstreamJobs } from '../../agent/config.ts';
import { storeIndex, type UploadClient, uploadIndex } from '../../upload/upload.ts';
import type { Credential } from '../../uplink/credential.ts';
import { openJobStdin } from '../../uplink/job-stdin.ts';
import type { JobClient } from '../../uplink/job-client.ts';
import type { Lease } from '../../uplink/leases.ts';
import type { PhaseLog } from '../../uplink/log-entry.ts';
import { openPhaseLog } from '../../uplink/phase-log.ts';
import { collectJobFiles } from '../../workspace/job-files.ts';
import { sparseDirectories } from '../../workspace/sparse-checkout.ts';
import { workspaceDisk } from '../../workspace/workspace-disk.ts';
import type { RunOutcome, RunResult, Runtime } from '../runtime.ts';
import { bootVm, explain, guestPaths, prepareGuest, type RunningVm } from './guest.ts';
import { imageDisks } from './image-disks.ts';
import { inspectVm } from './inspect.ts';
import {
  chooseTier,
  type DiskPlan,
  hasWorkspace,
  planDisks,
  type ValidatedJob,
  validateJob,
  secretsOfJob,
  vmSpec,
} from './plan.ts';
import { runSteps, scriptFiles } from './steps.ts';
import type { AgentVm, VmSource } from './vm-source.ts';

/** What a runtime has to work with; the same for every job. */
export interface MicrovmDeps {
  readonly vms: VmSource;
  /** What these VMs run on: it is on the record of every job. */
  readonly vmm: RunResult['vmm'];
  readonly spawn: Spawn;
  readonly clock: Clock;
  readonly instanceUrl: string;
  readonly executorName: string;
  /** No job may hold it; searched for in a VM that is inspected. */
  readonly credential: Pick<Credential, 'secret'>;
  readonly upstream: UpstreamJobs;
  readonly tiers: readonly Tier[];
  readonly directories: {
    /** Read-only disks; the helper opens them by name. */
    readonly disks: string;
    /** Image archives. */
    readonly blobs: string;
    /** One directory a job, removed with it. */
    readonly work: string;
  };
  readonly uploadClient: UploadClient;
  readonly registries: Registries;
  /** Docker's `config.json`, for jobs that bring no credentials of registries. */
  readonly registryAuthFile: string | null;
}

const indexMax = 2 * 2 ** 30;

/** Runs jobs in microVMs. */
export function microvmRuntime(deps: MicrovmDeps): Runtime {
  return { run: async (job, lease, client) => runInVm(deps, validateJob(job, deps), lease, client) };
}

/** Runs a leased job in a fresh VM, which is destroyed whatever happens. Never rejects. */
async function runInVm(
  deps: MicrovmDeps,
  job: ValidatedJob,
  lease: Lease,
  client: JobClient,
): Promise<RunOutcome> {
  const learned: Learned = { exitCode: null, guest: null, inspection: null, leftOver: {} };
  const run: Run = { deps, job, lease, client, learned, vm: null };
  let tier: Tier | null = null;
  let failure: unknown = null;
  let work: string | null = null;
  try {
    tier = chooseTier(job.fumehood.accept, deps.tiers);
    work = await mkdtemp(join(deps.directories.work, `job-${job.id}-`));
    await chmod(work, 0o711); // programs of another uid work below it
    await runPhases(run, tier, work);
  } catch (error) {
    failure = await explain(error, run.vm, lease);
  }
  try {
    await tearDown(run);
  } catch (error) {
    failure ??= await explain(error, null, lease);
  }
  if (work) await rm(work, { recursive: true, force: true });
  return { result: tier && { tier, vmm: deps.vmm, ...learned }, failure };
}

type Learned = { -readonly [K in keyof Omit<RunResult, 'tier' | 'vmm'>]: RunResult[K] };

interface Run {
  readonly deps: MicrovmDeps;
  readonly job: ValidatedJob;
  readonly lease: Lease;
  readonly client: JobClient;
  readonly learned: Learned;
  vm: AgentVm | null;
}

/** One phase is one log entry: it begins, says what it likes, and ends well or with the error's words. */
async function phase<T>(run: Run, key: string, body: (log: PhaseLog) => Promise<T>): Promise<T> {
  return within(await openPhaseLog(run.client, run.deps.clock, key, []), run, body);
}

async function within<T>(log: PhaseLog, run: Run, body: (log: PhaseLog) => Promise<T>): Promise<T> {
  try {
    run.lease.stopped.throwIfAborted();
    const value = await body(log);
    await log.end(0);
    return value;
  } catch (error) {
    // Told as far as it can be; the error itself decides.
    await say(log, factsOf(error).message, 'stderr').catch(() => {});
    await log.end(1).catch(() => {});
    throw error;
  }
}

function say(log: PhaseLog, line: string, stream: 'stdout' | 'stderr' = 'stdout'): Promise<void> {
  return log.write(stream, Buffer.from(`${line}\n`));
}

async function runPhases(run: Run, tier: Tier, work: string): Promise<void> {
  const { deps, job, lease, client, learned } = run;
  const files = scriptFiles(job);
  if (job.exposed)
    await phase(run, 'setup.credential', (log) =>
      say(log, 'credential exposed: its steps can read what their instance sent with it'),
    );
  const { images, plan } = await prepareDisks(run);
  const hostname = `job-${job.id}`;
  const control = randomBytes(24).toString('hex');
  const marker = job.fumehood.inspect ? { FUMEHOOD_CONTROL: control } : {};
  const { guest, vm } = await phase(run, 'setup.vm', (log) => bootWithRetry(run, tier, plan, log));
  await phase(run, 'setup.guest', async (log) => {
    const facts = await prepareGuest(guest, plan, { hostname, files: { ...files, ...marker } });
    learned.guest = { kernel: facts.kernel, interfaces: facts.interfaces };
    await say(log, `kernel ${facts.kernel}, clock within ${facts.clockErrorMs} ms`);
  });
  const step = { guest, clock: deps.clock, job, images, hostname, extra: marker };
  await runSteps(
    {
      ...step,
      openPhaseLog: (key, command) => openPhaseLog(client, deps.clock, key, command),
      openStdin: () => openJobStdin(client, lease.stopped),
    },
    (exitCode) => {
      learned.exitCode = exitCode;
    },
  );
  const { upload } = job;
  const uploads = join(work, 'upload');
  if (upload) {
    await phase(run, 'collect', async (log) => {
      const { file: path } = upload;
      const root = guestPaths.workspace;
      // As root inside the guest: who wrote the file is known there alone.
      const wanted = { id: 'index', root, uid: 0, gid: 0, path, maxBytes: indexMax };
      await storeIndex(uploads, guest.collect(wanted));
      await say(log, `took ${path} out of the workspace`);
    });
  }
  if (job.fumehood.inspect) {
    await phase(run, 'inspect', async (log) => {
      learned.inspection = await inspectVm(vm, [deps.credential.secret, job.token], control);
      await say(log, JSON.stringify(learned.inspection));
    });
  }
  if (upload) {
    await phase(run, 'upload', (log) => {
      const { spawn, uploadClient, instanceUrl, executorName } = deps;
      const { native } = client;
      const to = {
        spawn,
        client: uploadClient,
        instanceUrl,
        executorName,
        native,
        log,
        stopped: lease.stopped,
      };
      return uploadIndex(to, job, upload, uploads);
    });
  }
}

/** Workspace and images at the same time; their entries in their order. */
async function prepareDisks(run: Run): Promise<{ images: ImageDisk[]; plan: DiskPlan }> {
  const { deps, job, lease, client } = run;
  const { spawn, clock, instanceUrl, directories } = deps;
  const open = (key: string) => openPhaseLog(client, clock, key, []);
  const workspaceLog = hasWorkspace(job) ? await open('setup.workspace') : null;
  const imageLog = await open('setup.image');
  const source = { spawn, clock, instanceUrl, disks: directories.disks, work: directories.work };
  const secrets = secretsOfJob(job, deps.credential.secret);
  const commit = job.repositoryName === '' ? null : { repository: job.repositoryName, commit: job.commit };
  const workspace =
    workspaceLog &&
    within(workspaceLog, run, async (log) => {
      const files = await collectJobFiles(client, job.files, secrets, clock, lease.stopped);
      const sparse = sparseDirectories(job.sparseCheckout);
      const contents = { commit, directory: job.repositoryDirectory, sparse, files };
      const tell = (line: string) => void say(log, line).catch(() => {});
      return workspaceDisk(source, client, contents, lease.stopped, tell);
    });
  const from = { ...deps, node: deps.uploadClient.node };
  const images = within(imageLog, run, (log) =>
    imageDisks(from, client, job, lease.stopped, (line) => say(log, line)),
  );
  // Both are waited for: nothing may work on in a directory that is removed.
  const [made, fetched] = await Promise.allSettled([images, workspace]);
  if (made.status === 'rejected') throw made.reason;
  if (fetched.status === 'rejected') throw fetched.reason;
  return { images: made.value, plan: planDisks(made.value, fetched.value) };
}

/** A boot that hangs is tried once more, in another VM. */
async function bootWithRetry(run: Run, tier: Tier, plan: DiskPlan, log: PhaseLog): Promise<RunningVm> {
  const { deps, job, lease } = run;
  const boot = () =>
    bootVm(deps.vms, vmSpec(job, tier, plan), lease, deps.clock, (vm) => {
      run.vm = vm;
    });
  try {
    return await boot();
  } catch (error) {
    if (factsOf(error).code !== 'guest_not_ready' || lease.stopped.aborted) throw error;
    await say(log, `${factsOf(error).message}; trying once more`, 'stderr');
    await destroy(run);
    return boot();
  }
}

async function destroy(run: Run): Promise<LeftOver | null> {
  const { vm } = run;
  run.vm = null;
  const left = (await vm?.destroy()) ?? null;
  for (const [name, count] of Object.entries(left ?? {}))
    run.learned.leftOver[name] = (run.learned.leftOver[name] ?? 0) + count;
  return left;
}

/** The VM goes first, whether or not anybody can be told. */
async function tearDown(run: Run): Promise<void> {
  if (!run.vm) return;
  const opening = run.lease.lost.aborted
    ? null
    : openPhaseLog(run.client, run.deps.clock, 'teardown.vm', []).catch(() => null);
  const left = await destroy(run);
  const log = await opening;
  if (!log) return;
  await say(log, `left on the host: ${JSON.stringify(left)}`);
  await log.end(0);
}
