import {
  afterTransition,
  hasEnded,
  type JobLife,
  type JobResultRequest,
  type JobTransition,
  newLife,
} from '@fumehood/protocol';
import {
  entryNotFound,
  jobEnded,
  jobNotFound,
  leaseLost,
  offsetGap,
} from '../../packages/instance/src/errors.ts';
import { lossesForgottenMs, pauseAfterLossesMs } from '../../packages/instance/src/queue/sql/losses.ts';
import type { Guard } from './guards.ts';
import { type JobLease, lengthOf, type LogEntry, type StoredAttempt, type StoredJob } from './stored-job.ts';
import type { Truth } from './truth.ts';

/** The state of the database: a model of `packages/instance/src/queue`, statement by statement. Each call is a transaction. */

export const leaseMs = 10_000;
const reaperMarginMs = 1_000;
const retryMs = 5_000;
/** Bytes of a job's stdin in one answer. */
const inputPiece = 32;

export class Store {
  readonly jobs = new Map<number, StoredJob>();
  private readonly losses = new Map<string, Losses>();
  private readonly truth: Truth;
  private readonly removed: Guard | null;
  private readonly clock: () => number;

  /** `clock` returns the database's time, ms. */
  constructor(truth: Truth, removed: Guard | null, clock: () => number) {
    this.truth = truth;
    this.removed = removed;
    this.clock = clock;
  }

  enqueue(limits: { maxResets: number; maxRetries: number }, input: Buffer | null): StoredJob {
    const job: StoredJob = {
      id: this.jobs.size + 1,
      input: input ?? Buffer.alloc(0),
      takesInput: input !== null,
      life: newLife(limits),
      executor: null,
      token: null,
      expiresAt: null,
      processAfter: 0,
      reason: null,
      finishedAt: null,
      attempts: [],
      ends: 0,
    };
    this.jobs.set(job.id, job);
    return job;
  }

  /** Returns the job that `take` would lease, without locking its row. */
  next(): StoredJob | undefined {
    const waits = ({ life, processAfter }: StoredJob) =>
      (life.state === 'queued' || life.state === 'errored') && processAfter <= this.clock();
    return [...this.jobs.values()].find(waits);
  }

  take(executor: string, token: string, seen?: StoredJob): StoredJob | null {
    const job = this.on('one lease') ? this.next() : seen;
    if (!job || this.pausing(executor)) return null;
    const before = job.life;
    const life = this.on('one lease') ? afterTransition(before, 'lease') : leasedRegardless(before);
    if (!life) return null;
    this.truth.beforeLease(job, life.attempt, executor);
    Object.assign(job, { executor, token, expiresAt: this.clock() + leaseMs, processAfter: 0, reason: null });
    job.life = life;
    job.attempts.push({ attempt: life.attempt, executor, outcome: 'processing', result: null, entries: [] });
    this.truth.transitioned(job, before, 'lease');
    return job;
  }

  /** Returns the lease of a request's token, or null for a 401. `takesLog`: the request writes the log. */
  authenticate(token: string, jobId: number, takesLog: boolean): JobLease | null {
    const job = this.on('token')
      ? [...this.jobs.values()].find((one) => one.token === token)
      : this.jobs.get(jobId);
    if (!job || !this.holds(job, takesLog)) return null;
    if (this.on('read expiry') && !this.lasts(job)) return null;
    return { token, jobId: job.id, attempt: job.life.attempt, executor: job.executor as string };
  }

  /** Returns a job's stdin from an offset. */
  readInput(lease: JobLease, offset: number): { bytes: Buffer; end: boolean } {
    const job = this.jobs.get(lease.jobId) as StoredJob;
    this.truth.read(lease, job);
    const end = offset + inputPiece;
    return { bytes: job.input.subarray(offset, end), end: end >= job.input.length };
  }

  /** Runs a write that commits only under a valid lease, or for the log under that of a canceled job. Errors: `lease_lost`. */
  fenced<T>(lease: JobLease, what: string, write: (job: StoredJob) => T, takesLog = false): T {
    const job = this.jobs.get(lease.jobId);
    const valid =
      job &&
      this.holds(job, takesLog) &&
      job.executor === lease.executor &&
      (job.life.attempt === lease.attempt || !this.on('commit attempt')) &&
      (this.lasts(job) || !this.on('commit expiry'));
    if (!valid) {
      this.truth.refused(lease.jobId);
      throw leaseLost(lease.jobId);
    }
    this.truth.wrote(lease, job, what, takesLog);
    return write(job);
  }

  private logged<T>(lease: JobLease, what: string, write: (job: StoredJob) => T): T {
    return this.fenced(lease, what, write, true);
  }

  addEntry(lease: JobLease, key: string, number: number): number {
    return this.logged(lease, 'a log entry', (job) => {
      const { entries } = attemptOf(job, lease);
      const entry = this.on('entry number') ? number : entries.length + 1;
      entries[entry - 1] ??= { key, exitCode: null, stdout: [], stderr: [] };
      return entry;
    });
  }

  endEntry(lease: JobLease, entry: number, exitCode: number | null): void {
    this.logged(lease, 'the end of a log entry', (job) => {
      entryOf(job, lease, entry).exitCode = exitCode;
    });
  }

  append(
    lease: JobLease,
    to: { entry: number; stream: 'stdout' | 'stderr'; offset: number },
    data: Buffer,
  ): number {
    return this.logged(lease, 'output', (job) => {
      const entry = entryOf(job, lease, to.entry);
      const stored = lengthOf(entry[to.stream]);
      if (to.offset > stored) throw offsetGap(stored, to.offset);
      const fresh = this.on('idempotent offset') ? data.subarray(stored - to.offset) : data;
      if (fresh.length > 0) entry[to.stream].push(fresh);
      this.truth.appended(job, lease.attempt, entry, to.stream);
      return stored + fresh.length;
    });
  }

  saveResult(lease: JobLease, result: JobResultRequest): void {
    this.fenced(lease, 'a result', (job) => {
      attemptOf(job, lease).result = result;
    });
  }

  mark(lease: JobLease, transition: 'complete' | 'error' | 'fail', reason: string | null): void {
    this.fenced(lease, `the mark ${transition}`, (job) => {
      if (!this.move(job, transition, reason)) throw leaseLost(job.id);
      const losses = this.losses.get(lease.executor);
      if (losses) losses.count = 0;
    });
  }

  /** Errors: `job_not_found`, `job_ended`. */
  cancel(id: number): void {
    const job = this.jobs.get(id);
    if (!job) throw jobNotFound(id);
    if (job.life.state !== 'canceled' && !this.move(job, 'cancel', null)) throw jobEnded(id, job.life.state);
  }

  /** Stores that an executor has sent a heartbeat. */
  beat(executor: string): void {
    const losses = this.losses.get(executor);
    if (losses) losses.mustBeat = false;
    this.truth.beat(executor);
  }

  /** Renews the leases that the executor still holds, and returns their jobs. Calls `observed` before each renewal. */
  renew(
    executor: string,
    held: readonly { jobId: number; attempt: number | null }[],
    observed: (job: StoredJob) => void,
  ): StoredJob[] {
    const renewed: StoredJob[] = [];
    for (const { jobId, attempt } of held) {
      const job = this.jobs.get(jobId);
      if (!job || job.life.state !== 'processing' || job.executor !== executor) continue;
      if (this.on('renew attempt') && job.life.attempt !== (attempt ?? job.life.attempt)) continue;
      if (this.on('renew expiry') && !this.lasts(job)) continue;
      observed(job);
      job.expiresAt = this.clock() + leaseMs;
      renewed.push(job);
    }
    return renewed;
  }

  /** Ends the jobs whose cancel was requested and that their executor no longer holds. */
  release(executor: string, held: readonly number[]): void {
    for (const job of this.jobs.values())
      if (job.executor === executor && job.life.cancelRequested && !held.includes(job.id))
        this.move(job, 'release', null);
  }

  /** Ends leases that ran out, by the reaper's clock. */
  expire(time: number): void {
    const before = time - (this.on('reaper margin') ? reaperMarginMs : 0);
    for (const job of this.jobs.values())
      if (job.life.state === 'processing' && (job.expiresAt as number) < before) {
        this.countLoss(job.executor as string);
        this.move(job, 'expire', 'lease_lost');
      }
  }

  private countLoss(executor: string): void {
    const { count, lostAt, mustBeat } = this.losses.get(executor) ?? {
      count: 0,
      lostAt: -Infinity,
      mustBeat: false,
    };
    const recent = lostAt > this.clock() - lossesForgottenMs;
    const next = mustBeat ? count : recent ? count + 1 : 1;
    this.losses.set(executor, { count: next, lostAt: this.clock(), mustBeat: true });
  }

  /** Returns whether an executor gets no job now, because it has lost a lease. */
  private pausing(executor: string): boolean {
    const losses = this.losses.get(executor);
    if (!losses || !this.on('pause after losses')) return false;
    const sinceMs = this.clock() - losses.lostAt;
    return losses.mustBeat || (sinceMs >= 0 && sinceMs <= pauseAfterLossesMs(losses.count));
  }

  /** Returns whether the lease of a job has not run out. */
  private lasts(job: StoredJob): boolean {
    return job.expiresAt !== null && job.expiresAt > this.clock();
  }

  private holds(job: StoredJob, takesLog: boolean): boolean {
    if (!this.on('token dies')) return true;
    const isGood = !job.life.cancelRequested || takesLog || !this.on('cancel ends writes');
    return job.life.state === 'processing' && isGood;
  }

  private move(job: StoredJob, transition: JobTransition, reason: string | null): boolean {
    const before = job.life;
    const life = this.table(before, transition);
    if (!life) return false;
    job.life = life;
    if (life.state !== 'processing') {
      job.reason = life.state === 'queued' ? null : reason;
      const attempt = job.attempts.at(-1);
      if (before.state === 'processing' && attempt)
        attempt.outcome = transition === 'expire' && life.state !== 'canceled' ? 'lost' : life.state;
      if (this.on('token dies')) Object.assign(job, { executor: null, token: null, expiresAt: null });
      if (life.state === 'errored') job.processAfter = this.clock() + retryMs;
      if (hasEnded(life.state)) {
        job.finishedAt = this.clock();
        job.ends += 1;
      }
    }
    this.truth.transitioned(job, before, transition);
    return true;
  }

  /** Applies the state table, changed if a guard is removed. */
  private table(life: JobLife, transition: JobTransition): JobLife | null {
    if (!this.on('cancel stays') && transition === 'expire')
      return afterTransition({ ...life, cancelRequested: false }, transition);
    if (!this.on('resets counted') && transition === 'expire')
      return afterTransition({ ...life, resets: 0 }, transition);
    return afterTransition(life, transition);
  }

  private on(guard: Guard): boolean {
    return this.removed !== guard;
  }
}

/** The losses of an executor: how many leases of it ran out, when the last one did, and whether it has sent no heartbeat since. */
interface Losses {
  count: number;
  readonly lostAt: number;
  mustBeat: boolean;
}

function leasedRegardless(life: JobLife): JobLife {
  return { ...life, state: 'processing', attempt: life.attempt + 1 };
}

function attemptOf(job: StoredJob, lease: JobLease): StoredAttempt {
  return job.attempts.find(({ attempt }) => attempt === lease.attempt) as StoredAttempt;
}

function entryOf(job: StoredJob, lease: JobLease, entry: number): LogEntry {
  const found = attemptOf(job, lease).entries[entry - 1];
  if (!found) throw entryNotFound(entry);
  return found;
}
