import { type Clock, factsOf } from '@fumehood/base';
import type { Job } from '@fumehood/protocol';
import type { Log } from '../log.ts';
import type { RunOutcome, Runtime } from '../runtime/runtime.ts';
import type { Http } from '../uplink/http.ts';
import { type JobClient, openJobClient } from '../uplink/job-client.ts';
import type { Lease, Leases } from '../uplink/leases.ts';

/** What running a job needs. */
export interface RunJobDeps {
  readonly runtime: Runtime;
  readonly clock: Clock;
  readonly executorName: string;
  readonly http: Http;
  readonly leases: Leases;
  readonly log: Log;
}

/** How long an upstream instance waits for a heartbeat before it takes a job for lost, in ms. Such an instance does not tell it. */
const upstreamLeaseMs = 25_000;

/** Errors of this machine or of the way to the instance. A job that ends with one is marked errored, and may be retried. */
const retryableCodes = new Set([
  'instance_unreachable',
  'registry_unreachable',
  'guest_not_ready',
  'guest_silent',
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
 * Runs a leased job: waits for the first heartbeat, runs the job, reports its end and releases the lease. Calls `onHeld` with the
 * lease. Resolves when nothing of the job is left on this machine, with the end of its run, or null if it was not run. Never rejects.
 */
export async function runJob(
  deps: RunJobDeps,
  job: Job,
  onHeld: (lease: Lease) => void,
): Promise<RunOutcome | null> {
  const { clock, executorName, http, leases, log } = deps;
  const { queue } = job;
  const about = { job: job.id, attempt: job.fumehood?.attempt };
  if (!queue) {
    log.warn(about, 'a leased job does not name its queue: its end cannot be reported');
    return null;
  }
  let lease: Lease;
  try {
    const attempt = job.fumehood?.attempt ?? null;
    lease = await leases.hold({ id: job.id, queue, attempt }, job.fumehood?.leaseMs ?? upstreamLeaseMs);
  } catch (error) {
    log.warn({ ...about, error: factsOf(error) }, 'the job was not started');
    return null;
  }
  onHeld(lease);
  const client = openJobClient(http, { ...job, queue }, executorName, clock, lease.lost);
  const outcome = await runToOutcome(deps.runtime, job, lease, client);
  try {
    const failure = outcome.failure === null ? null : factsOf(outcome.failure);
    log.info({ ...about, failure }, 'the job ended');
    // The launcher may end the VM before this process sees that the lease is over. The instance starts another attempt by itself.
    if (lease.lost.aborted || failure?.code === 'lease_lost') return outcome;
    // A native instance takes a canceled job for ended when a heartbeat no longer names it. Upstream's instances accept its end.
    if (client.native && isCanceled(lease)) return outcome;
    if (outcome.result) await client.result(outcome.result);
    await markEnd(client, outcome.failure);
  } catch (error) {
    log.warn({ ...about, error: factsOf(error) }, "the job's end could not be reported");
  } finally {
    lease.release();
  }
  return outcome;
}

async function runToOutcome(
  runtime: Runtime,
  job: Job,
  lease: Lease,
  client: JobClient,
): Promise<RunOutcome> {
  try {
    return await runtime.run(job, lease, client);
  } catch (error) {
    return { result: null, failure: error, machine: null };
  }
}

function isCanceled({ stopped }: Lease): boolean {
  return stopped.aborted && factsOf(stopped.reason).code === 'canceled';
}

async function markEnd(client: JobClient, failure: unknown): Promise<void> {
  if (failure === null) return client.complete();
  const { code, message, remedy } = factsOf(failure);
  const text = remedy ? `${message}\n${remedy}` : message;
  return retryableCodes.has(code) ? client.errored(text, code) : client.failed(text, code);
}
