import type { ImageDisk } from '@fumehood/oci';
import type { Credential } from '../../uplink/credential.ts';
import { diskMakerOf } from '../../disk-maker/make-disk.ts';
import { openPhaseLog } from '../../uplink/phase-log.ts';
import { collectJobFiles } from '../../workspace/job-files.ts';
import { sparseDirectories } from '../../workspace/sparse-checkout.ts';
import { toolsDisk } from '../../workspace/tools-disk.ts';
import { workspaceDisk, type WorkspaceSource } from '../../workspace/workspace-disk.ts';
import { type ImageDeps, imageDisks } from './image-disks.ts';
import { type PhaseDeps, runPhase, runWithLog, writeLine } from './phase.ts';
import { hasWorkspace, secretsOfJob, type ValidatedJob } from './validate-job.ts';
import { type DiskPlan, planDisks } from './vm-plan.ts';

/** What making the disks of a job needs. */
export interface PrepareDisksDeps extends ImageDeps {
  readonly instanceUrl: string;
  /** The bundled disk maker. */
  readonly diskMaker: string;
  readonly credential: Pick<Credential, 'secret'>;
}

/** Makes the disks of the workspace and of the images, both at the same time. Their log entries are in a fixed order. */
export async function prepareDisks(
  deps: PrepareDisksDeps,
  job: ValidatedJob,
  phase: PhaseDeps,
): Promise<{ images: ImageDisk[]; plan: DiskPlan }> {
  const { client, clock, lease } = phase;
  const { spawn, instanceUrl, directories, node, diskMaker: script } = deps;
  const maker = diskMakerOf({ spawn, node, script }, job.fumehood.resources.memoryMiB);
  const workspaceLog = hasWorkspace(job) ? await openPhaseLog(client, clock, 'setup.workspace', []) : null;
  const source: WorkspaceSource = {
    spawn,
    maker,
    clock,
    cache: deps.cache,
    instanceUrl,
    disks: directories.disks,
    work: directories.work,
    blobs: directories.blobs,
  };
  const secrets = secretsOfJob(job, deps.credential.secret);
  const commit = job.repositoryName === '' ? null : { repository: job.repositoryName, commit: job.commit };
  const makingWorkspace =
    workspaceLog &&
    runWithLog(workspaceLog, phase, async (log) => {
      const files = await collectJobFiles(client, job.files, secrets, clock, lease.stopped);
      const sparse = sparseDirectories(job.sparseCheckout);
      const archive = job.fumehood.workspace;
      const contents = { commit, directory: job.repositoryDirectory, sparse, files, archive };
      const onProgress = (line: string) => void writeLine(log, line).catch(() => {});
      return workspaceDisk(source, client, contents, lease.stopped, onProgress);
    });
  const makingImages = runPhase(phase, 'setup.image', (log) =>
    imageDisks(deps, maker, client, job, lease.stopped, (line) => writeLine(log, line)),
  );
  const makingTools = job.fumehood.batch
    ? toolsDisk(maker, deps.cache, directories.disks, lease.stopped)
    : null;
  // Waits for all even if one fails: the others must not go on after the run has cleaned up.
  const [images, workspace, tools] = await Promise.allSettled([makingImages, makingWorkspace, makingTools]);
  if (images.status === 'rejected') throw images.reason;
  if (workspace.status === 'rejected') throw workspace.reason;
  if (tools.status === 'rejected') throw tools.reason;
  const toolsOn = tools.value === null ? null : { file: tools.value, repository: job.repositoryDirectory };
  return { images: images.value, plan: planDisks(images.value, workspace.value, toolsOn) };
}
