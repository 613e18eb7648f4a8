import { hasEnded, type JobLife, type JobTransition } from '@fumehood/protocol';
import { type Coverage, edgeName } from './coverage.ts';
import { guestBytes } from './guest.ts';
import type { Answer, WireRequest } from './network.ts';
import { type JobLease, lengthOf, type LogEntry, type StoredJob } from './stored-job.ts';
import type { Vm } from './vm.ts';
import type { World } from './world.ts';

interface IssuedLease {
  readonly jobId: number;
  readonly attempt: number;
  /** The job was canceled: the lease is good for its log alone. */
  canceled: boolean;
  over: boolean;
}

/**
 * An observer that sees both sides and true time, and checks the promises. It learns what happens and decides nothing. It does not use
 * the fences of the instance or the guards of the executor.
 */
export class Truth {
  private readonly world: World;
  private readonly coverage: Coverage;
  private readonly databaseClock: () => number;
  private readonly leases = new Map<string, IssuedLease>();
  private readonly vms = new Map<number, Vm[]>();
  /** When an executor's code got a lease; by executor, job and attempt. */
  private readonly handedOver = new Map<string, number>();
  /** The executors that have lost a lease and not sent a heartbeat since. */
  private readonly silent = new Set<string>();
  private readonly acknowledged: ((jobs: ReadonlyMap<number, StoredJob>) => string | null)[] = [];

  constructor(world: World, coverage: Coverage, databaseClock: () => number) {
    this.world = world;
    this.coverage = coverage;
    this.databaseClock = databaseClock;
  }

  // Commits of the store.

  beforeLease(job: StoredJob, attempt: number, executor: string): void {
    if (this.silent.has(executor))
      this.broken(job, `is leased by ${executor}, which lost a lease and has not sent a heartbeat since`);
    const { state, cancelRequested } = job.life;
    if (state === 'processing' || hasEnded(state)) this.broken(job, `is leased while it is ${state}`);
    if (cancelRequested) this.broken(job, 'is leased after its cancel');
    for (const vm of this.vms.get(job.id) ?? [])
      if (vm.runs) this.broken(job, `is leased as attempt ${attempt} while the VM of ${vm.attempt} lives`);
  }

  transitioned(job: StoredJob, before: JobLife, transition: JobTransition): void {
    const { life } = job;
    const edge = edgeName(before, transition, life);
    this.world.note(`j${job.id}: ${edge} (attempt ${life.attempt}${job.reason ? `, ${job.reason}` : ''})`);
    this.coverage.transition(job.id, edge);
    if (transition === 'lease')
      this.leases.set(job.token as string, {
        jobId: job.id,
        attempt: life.attempt,
        canceled: false,
        over: false,
      });
    else
      for (const lease of this.leases.values())
        if (lease.jobId === job.id) lease[life.state === 'processing' ? 'canceled' : 'over'] = true;
    if (transition === 'expire') this.silent.add(job.attempts.at(-1)?.executor as string);
    if (before.cancelRequested && !life.cancelRequested) this.broken(job, 'had its cancel taken back');
    if (life.attempt > 1 + life.maxResets + life.maxRetries) this.broken(job, 'is tried too often');
    const exit = this.vmOf(job.id, life.attempt)?.exit;
    if (life.state === 'completed' && exit !== 0)
      this.broken(job, 'is completed, but its program did not exit with 0');
    if (transition === 'fail' && life.state === 'failed' && (job.reason !== 'step_failed' || exit !== 1))
      this.broken(job, `has failed for good, although its program did not: ${job.reason}`);
  }

  beat(executor: string): void {
    this.silent.delete(executor);
  }

  wrote(lease: JobLease, job: StoredJob, what: string, takesLog: boolean): void {
    this.checkLease(lease, job, `${what} was accepted`, takesLog);
  }

  read(lease: JobLease, job: StoredJob): void {
    this.checkLease(lease, job, 'its input was read');
  }

  /** Records that a write was refused when it was about to commit. */
  refused(jobId: number): void {
    this.coverage.fault('lease over in mid-write', [jobId]);
  }

  renewed(job: StoredJob, executor: string, sentAt: number): void {
    const { attempt } = job.life;
    if (!this.lasts(job)) this.broken(job, `had its lease brought back by ${executor}`);
    const known = this.handedOver.get(`${executor}/${job.id}/${attempt}`) ?? Infinity;
    if (known > sentAt)
      this.broken(
        job,
        `had attempt ${attempt} renewed by a heartbeat that ${executor} sent before it got the lease`,
      );
  }

  appended(job: StoredJob, attempt: number, entry: LogEntry, stream: 'stdout' | 'stderr'): void {
    if (!entry.key.startsWith('step.')) return;
    const vm = this.vmOf(job.id, attempt);
    const last = entry[stream].at(-1) ?? Buffer.alloc(0);
    const length = lengthOf(entry[stream]);
    const expected = guestBytes(job.id, attempt, stream, length - last.length, last.length);
    if (length > (vm?.written[stream] ?? 0) || !last.equals(expected))
      this.broken(job, `has a log of attempt ${attempt} that is not a prefix of what its VM wrote`);
  }

  // Answers that arrive.

  answered({ from, path, headers }: WireRequest, { status, body }: Answer): void {
    if (status >= 300) return;
    const operation = path.split(/[/?]/).find((part) => operations.has(part));
    if (path === '/.executors/queue/dequeue' && status === 200) {
      const job = JSON.parse(String(body)) as { id: number; fumehood: { attempt: number } };
      this.handedOver.set(`${from}/${job.id}/${job.fumehood.attempt}`, this.world.time);
    } else if (path === '/api/jobs') {
      const { id } = JSON.parse(String(body)) as { id: number };
      this.acknowledged.push((jobs) =>
        jobs.has(id) ? null : `the job j${id} was acknowledged, and is lost`,
      );
    } else if (operation === 'cancel') {
      const id = Number(path.split('/')[3]);
      this.acknowledged.push((jobs) =>
        jobs.get(id)?.life.state === 'canceled' ? null : `j${id} was canceled and has not ended as canceled`,
      );
    } else if (operation === 'appendLog') {
      const { offset } = JSON.parse(String(body)) as { offset: number };
      const query = new URLSearchParams(path.split('?')[1]);
      this.acknowledgeOutput(tokenOf(headers), query, offset);
    } else if (operation === 'markComplete') {
      const { jobId, attempt } = this.leases.get(tokenOf(headers)) as IssuedLease;
      this.acknowledged.push((jobs) => {
        const job = jobs.get(jobId) as StoredJob;
        const kept = job.life.attempt === attempt && job.life.state === 'completed';
        return kept ? null : `j${jobId} was completed by attempt ${attempt}, and that is lost`;
      });
    }
  }

  // Events on the executors.

  bootedVm(vm: Vm, job: StoredJob): void {
    this.vms.set(vm.jobId, [...(this.vms.get(vm.jobId) ?? []), vm]);
    if (job.life.attempt > vm.attempt)
      this.broken(job, `gets a VM for attempt ${vm.attempt}, but attempt ${job.life.attempt} was leased`);
  }

  /** Checks what has to hold when every job has ended. */
  atTheEnd(jobs: ReadonlyMap<number, StoredJob>): void {
    for (const job of jobs.values()) {
      const done = job.attempts.filter(({ outcome }) => outcome === 'completed');
      if (job.ends !== 1) this.broken(job, `has ended ${job.ends} times`);
      if (done.length !== (job.life.state === 'completed' ? 1 : 0))
        this.broken(job, `is ${job.life.state} with ${done.length} completed attempts`);
      for (const { attempt, result, entries } of done) {
        const written = this.vmOf(job.id, attempt)?.written;
        const steps = entries.filter((entry) => entry.key.startsWith('step.'));
        const whole = steps.every(
          (entry) =>
            entry.exitCode === 0 &&
            lengthOf(entry.stdout) === written?.stdout &&
            lengthOf(entry.stderr) === written.stderr,
        );
        if (steps.length !== 1 || !whole)
          this.broken(
            job,
            `is completed with ${steps.length} logs of attempt ${attempt}, or with an incomplete one`,
          );
        if (result?.guest?.kernel !== `j${job.id}-a${attempt}`)
          this.broken(job, `shows the result of ${result?.guest?.kernel} for attempt ${attempt}`);
      }
    }
    for (const kept of this.acknowledged) {
      const loss = kept(jobs);
      if (loss) this.world.violate(loss);
    }
  }

  private acknowledgeOutput(token: string, query: URLSearchParams, offset: number): void {
    const { jobId, attempt } = this.leases.get(token) as IssuedLease;
    const entry = Number(query.get('entry')) - 1;
    const stream = query.get('stream') as 'stdout' | 'stderr';
    this.acknowledged.push((jobs) => {
      const kept = jobs.get(jobId)?.attempts.find((one) => one.attempt === attempt)?.entries[entry];
      return kept && lengthOf(kept[stream]) >= offset
        ? null
        : `output of j${jobId} up to ${offset} was acknowledged, and is lost`;
    });
  }

  private checkLease({ token }: JobLease, job: StoredJob, what: string, takesLog = false): void {
    const lease = this.leases.get(token);
    if (!lease || lease.over || (lease.canceled && !takesLog) || lease.jobId !== job.id)
      this.broken(job, `${what} from attempt ${lease?.attempt} of j${lease?.jobId}, whose lease is over`);
    else if (!this.lasts(job))
      this.broken(job, `${what} after the lease of attempt ${lease.attempt} ran out`);
  }

  private lasts(job: StoredJob): boolean {
    return job.expiresAt !== null && job.expiresAt > this.databaseClock();
  }

  private vmOf(jobId: number, attempt: number): Vm | undefined {
    return this.vms.get(jobId)?.find((vm) => vm.attempt === attempt);
  }

  private broken(job: StoredJob, what: string): void {
    this.world.violate(`job j${job.id} ${what}`);
  }
}

const operations = new Set(['cancel', 'appendLog', 'markComplete']);

function tokenOf(headers: Readonly<Record<string, string>>): string {
  return (headers.authorization ?? '').replace('Bearer ', '');
}
