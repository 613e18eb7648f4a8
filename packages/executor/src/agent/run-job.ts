import { type Clock, factsOf } from '@fumehood/base';
import type { Job } from '@fumehood/protocol';
import type { Log } from '../log.ts';
import type { RunOutcome, Runtime } from '../runtime/runtime.ts';
import type { Http } from '../uplink/http.ts';
import { type JobClient, openJob } from '../uplink/job-client.ts';
import type { Lease, Leases } from '../uplink/leases.ts';

export interface WorkDeps {
  readonly runtime: Runtime;
  readonly clock: Clock;
  readonly executorName: string;
  readonly http: Http;
  readonly leases: Leases;
  readonly log: Log;
}

/** Upstream's bound on a job without a heartbeat, for an instance that does not name its own. */
const upstreamLeaseMs = 25_000;

/** Failures that another try may mend: of this machine or of the way to the instance, not of the job. */
const worthAnotherTry = new Set([
  'instance_unreachable',
  'registry_unreachable',
  'guest_not_ready',
  'vmm_died',
  'vm_refused',
  'spawn_failed',
  'program_failed',
  'disk_invalid',
  'blob_damaged',
  'executor_stopped',
  'disk_full',
  'internal',
]);

/**
 * Does a leased job from its first heartbeat to its mark. Resolves when nothing of it is left; never rejects. `held` is
 * called with the lease once there is one.
 */
export async function workOn(deps: WorkDeps, job: Job, held: (lease: Lease) => void): Promise<void> {
  const { clock, executorName, http, leases, log } = deps;
  const { queue } = job;
  const about = { job: job.id, attempt: job.fumehood?.attempt };
  if (!queue) {
    log.warn(about, 'a job came without a queue: it cannot be answered for');
    return;
  }
  let lease: Lease;
  try {
    const attempt = job.fumehood?.attempt ?? null;
    lease = await leases.hold({ id: job.id, queue, attempt }, job.fumehood?.leaseMs ?? upstreamLeaseMs);
  } catch (error) {
    log.warn({ ...about, error: factsOf(error) }, 'the job was not begun');
    return;
  }
  held(lease);
  try {
    const client = openJob(http, { ...job, queue }, executorName, clock, lease.lost);
    const outcome = await run(deps.runtime, job, lease, client);
    const failure = outcome.failure === null ? null : factsOf(outcome.failure);
    log.info({ ...about, failure }, 'the job ended');
    // The VM may have been told first that the lease is over. The instance finds out by itself, and has the job tried again.
    if (lease.lost.aborted || failure?.code === 'lease_lost') return;
    if (outcome.result) await client.result(outcome.result);
    await mark(client, outcome.failure);
  } catch (error) {
    log.warn({ ...about, error: factsOf(error) }, "the job's end could not be told");
  } finally {
    lease.release();
  }
}

async function run(runtime: Runtime, job: Job, lease: Lease, client: JobClient): Promise<RunOutcome> {
  try {
    return await runtime.run(job, lease, client);
  } catch (error) {
    return { result: null, failure: error };
  }
}

async function mark(client: JobClient, failure: unknown): Promise<void> {
  if (failure === null) return client.complete();
  const { code, message, remedy } = factsOf(failure);
  const text = remedy ? `${message}\n${remedy}` : message;
  return worthAnotherTry.has(code) ? client.errored(text, code) : client.failed(text, code);
}
