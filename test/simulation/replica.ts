import {
  addLogEntryRequestSchema,
  appendLogQuerySchema,
  dequeueRequestSchema,
  executorNameHeader,
  heartbeatRequestSchema,
  inputEndHeader,
  inputQuerySchema,
  type Job,
  jobIdHeader,
  jobResultRequestSchema,
  markFailedRequestSchema,
  updateLogEntryRequestSchema,
} from '@fumehood/protocol';
import { FumehoodError } from '@fumehood/base';
import { type Reading, steadyClock } from '../../packages/instance/src/queue/database-clock.ts';
import { type Database, errorAnswer } from './database.ts';
import type { Guard } from './guards.ts';
import type { Answer, Server, WireRequest } from './network.ts';
import { leaseMs, type Store } from './store.ts';
import type { JobLease, StoredJob } from './stored-job.ts';
import type { Truth } from './truth.ts';
import type { World } from './world.ts';

export const credential = 'the credential of the executors';
const reaperPeriodMs = 500;
/** The longest lease of this model and the margin of the reaper, ms. */
const steadyHoldMs = leaseMs + 1_000;

export interface ReplicaDeps {
  readonly world: World;
  readonly database: Database;
  readonly store: Store;
  readonly truth: Truth;
  readonly removed: Guard | null;
  /** Tells every replica that there may be a job. */
  readonly announce: () => void;
  /** Reports that the database refused a transaction of this request. */
  readonly refused: (request: WireRequest) => void;
  /** Returns how long a request body takes to arrive, ms. */
  readonly bodyMs: () => number;
}

/** One process of the instance. Its own state is lost when it dies. */
export class Replica implements Server {
  readonly name: string;
  private readonly deps: ReplicaDeps;
  private alive = false;
  /** One function per unanswered request, which breaks the connection. */
  private readonly connections = new Set<() => void>();
  /** One function per held dequeue request, which looks for a job again. */
  private readonly held = new Set<() => void>();
  private life = 0;
  private believed = steadyClock(steadyHoldMs, () => {});
  private hasRead = false;

  constructor(name: string, deps: ReplicaDeps) {
    this.name = name;
    this.deps = deps;
    this.start();
  }

  start(): void {
    if (this.alive) return;
    this.alive = true;
    this.believed = steadyClock(steadyHoldMs, () => {});
    this.hasRead = false;
    this.reap();
  }

  /** Whether it runs and has read the database's clock. */
  get knowsClock(): boolean {
    return this.alive && this.hasRead;
  }

  /** Kills the process by SIGKILL. */
  kill(): void {
    this.alive = false;
    this.life += 1;
    this.held.clear();
    for (const breakOff of this.connections) breakOff();
    this.connections.clear();
  }

  /** Lets every held dequeue request look for a job again. */
  wake(): void {
    for (const look of this.held) look();
  }

  receive(request: WireRequest, answer: (answer: Answer | null) => void): () => void {
    if (!this.alive) {
      answer(null);
      return () => {};
    }
    const call = new Call(request, answer, this.connections);
    this.later(this.deps.world.random.between(0.1, 2), () => this.route(call));
    return () => call.leave();
  }

  private route(call: Call): void {
    const { path } = call.request;
    if (path === '/.executors/queue/dequeue') this.dequeue(call);
    else if (path === '/.executors/queue/heartbeat') this.heartbeat(call);
    else if (path.startsWith('/api/jobs')) this.people(call);
    else this.jobRoute(call);
  }

  private dequeue(call: Call): void {
    const { world, database, store } = this.deps;
    const body = dequeueRequestSchema.parse(JSON.parse(call.request.body.toString()));
    const deadline = world.time + (body.fumehood?.waitMs ?? 0);
    let seen: StoredJob | undefined;
    let again = () => {};
    const look = () => {
      again();
      if (call.over) {
        this.held.delete(look);
        return;
      }
      let leased: StoredJob | null = null;
      const token = `t${world.random.next().toString(36).slice(2)}`;
      const { answer, refused } = database.transact(() => {
        leased = store.take(body.executorName, token, seen);
        return { status: 200, body: leased ? JSON.stringify(wireJob(leased, token)) : '' };
      });
      seen = store.next();
      if (refused) this.deps.refused(call.request);
      if (refused || leased) call.answer(answer);
      else if (world.time >= deadline) call.answer({ status: 204, body: '' });
      else again = this.later(Math.min(deadline - world.time, 1_000), look);
    };
    this.held.add(look);
    look();
  }

  private heartbeat(call: Call): void {
    const { store, truth } = this.deps;
    const { request } = call;
    const body = heartbeatRequestSchema.parse(JSON.parse(request.body.toString()));
    const attempts = new Map(body.fumehood?.leases?.map((held) => [held.jobId, held.attempt]));
    const ids = body.jobIdsByQueue.flatMap((group) => group.jobIds).map(Number);
    const held = ids.map((jobId) => ({ jobId, attempt: attempts.get(jobId) ?? null }));
    const observed = (job: StoredJob) => truth.renewed(job, request.from, request.sentAt);
    this.commit(call, () => {
      store.beat(body.executorName);
      const renewed = store.renew(body.executorName, held, observed);
      store.release(body.executorName, ids);
      const named = (jobs: StoredJob[]) => jobs.map((job) => `${job.id}-runs`);
      const cancelIds = named(renewed.filter((job) => job.life.cancelRequested));
      return json(200, { knownIds: named(renewed), cancelIds });
    });
  }

  private people(call: Call): void {
    const { store } = this.deps;
    const { path, body } = call.request;
    this.commit(call, () => {
      if (path.endsWith('/cancel')) {
        store.cancel(Number(path.split('/')[3]));
        return json(200, {});
      }
      const { input, ...limits } = JSON.parse(body.toString()) as NewJob;
      return json(201, { id: store.enqueue(limits, input === null ? null : Buffer.from(input)).id });
    });
  }

  private jobRoute(call: Call): void {
    const { store } = this.deps;
    const { headers, path } = call.request;
    const token = (headers.authorization ?? '').replace('Bearer ', '');
    const jobId = Number(headers[jobIdHeader]);
    const [operation = '', query] = (path.split('/').at(-1) ?? '').split('?');
    const lease = store.authenticate(token, jobId, logOperations.has(operation));
    if (!lease) {
      call.answer({ status: 401, body: 'invalid token' });
      return;
    }
    if (lease.jobId !== jobId || lease.executor !== headers[executorNameHeader]) {
      call.answer({ status: 403, body: 'invalid token' });
      return;
    }
    if (operation === 'input') {
      const { offset } = inputQuerySchema.parse(Object.fromEntries(new URLSearchParams(query)));
      const { bytes, end } = store.readInput(lease, offset);
      call.answer({ status: 200, headers: end ? { [inputEndHeader]: 'true' } : {}, body: bytes });
      return;
    }
    // The lease is checked before the body arrives, and again when the write commits.
    this.later(this.deps.bodyMs(), () => this.write(call, lease, operation, query ?? ''));
  }

  private write(call: Call, lease: JobLease, operation: string, query: string): void {
    const { store, world, removed } = this.deps;
    const { body } = call.request;
    const parsed = () => JSON.parse(body.toString()) as unknown;
    const writes: Record<string, () => Answer> = {
      addExecutionLogEntry() {
        const { key, fumehood } = addLogEntryRequestSchema.parse(parsed());
        return json(200, store.addEntry(lease, key, (fumehood as { entry: number }).entry));
      },
      updateExecutionLogEntry() {
        const { entryId, exitCode } = updateLogEntryRequestSchema.parse(parsed());
        store.endEntry(lease, entryId, exitCode ?? null);
        return done;
      },
      appendLog() {
        const to = appendLogQuerySchema.parse(Object.fromEntries(new URLSearchParams(query)));
        return json(200, { offset: store.append(lease, to, body) });
      },
      result() {
        store.saveResult(lease, jobResultRequestSchema.parse(parsed()));
        return done;
      },
      markComplete() {
        store.mark(lease, 'complete', null);
        return done;
      },
      markErrored() {
        store.mark(lease, 'error', markFailedRequestSchema.parse(parsed()).reason ?? null);
        return done;
      },
      markFailed() {
        store.mark(lease, 'fail', markFailedRequestSchema.parse(parsed()).reason ?? null);
        return done;
      },
    };
    const write = writes[operation] as () => Answer;
    if (removed === 'commit before answer' && operation === 'markComplete') {
      call.answer(done);
      this.later(world.random.between(0, 1_000), () => this.commit(call, write));
    } else this.commit(call, write);
  }

  private commit(call: Call, work: () => Answer): void {
    const { database, store, announce, refused: onRefused } = this.deps;
    const { request } = call;
    const { answer, refused } = database.transact(() => {
      try {
        return work();
      } catch (error) {
        if (error instanceof FumehoodError) return errorAnswer(error, request.path);
        throw error;
      }
    });
    if (refused) onRefused(request);
    if (store.next()) announce();
    call.answer(answer);
  }

  private reap(): void {
    const { database, store, announce, world, removed } = this.deps;
    database.transact(() => {
      this.hasRead = true;
      const reading: Reading = { database: database.now(), before: world.time, after: world.time };
      store.expire(removed === 'steady clock' ? reading.database : this.believed(reading));
      return done;
    });
    if (store.next()) announce();
    this.later(reaperPeriodMs, () => this.reap());
  }

  /** Runs a function later, unless the process dies before. */
  private later(ms: number, run: () => void): () => void {
    const { life } = this;
    return this.deps.world.after(ms, () => {
      if (life === this.life) run();
    });
  }
}

/** The requests that a canceled job may still make. */
const logOperations = new Set(['addExecutionLogEntry', 'updateExecutionLogEntry', 'appendLog']);
const done: Answer = { status: 204, body: '' };
const json = (status: number, body: unknown): Answer => ({ status, body: JSON.stringify(body) });
/** The body of a request that creates a job. */
interface NewJob {
  readonly maxResets: number;
  readonly maxRetries: number;
  readonly input: string | null;
}

/** A request that is not answered yet. */
class Call {
  readonly request: WireRequest;
  over = false;
  private readonly reply: (answer: Answer | null) => void;
  private readonly connections: Set<() => void>;
  private readonly breakOff = () => this.end(null);

  constructor(request: WireRequest, reply: (answer: Answer | null) => void, connections: Set<() => void>) {
    this.request = request;
    this.reply = reply;
    this.connections = connections;
    connections.add(this.breakOff);
  }

  answer(answer: Answer): void {
    this.end(answer);
  }

  /** Forgets the request: its client is gone. */
  leave(): void {
    this.over = true;
    this.connections.delete(this.breakOff);
  }

  private end(answer: Answer | null): void {
    if (this.over) return;
    this.leave();
    this.reply(answer);
  }
}

function wireJob(job: StoredJob, token: string): Job {
  return {
    id: job.id,
    token,
    queue: 'runs',
    repositoryName: '',
    repositoryDirectory: '',
    commit: '',
    fetchTags: false,
    shallowClone: true,
    sparseCheckout: null,
    files: {},
    dockerSteps: [{ image: `blob:sha256:${'0'.repeat(64)}` }],
    cliSteps: null,
    redactedValues: null,
    fumehood: {
      attempt: job.life.attempt,
      accept: ['vm-emulated'],
      resources: { cpus: 1, memoryMiB: 128, scratchMiB: 64 },
      leaseMs,
      deadlineMs: 600_000,
      stopGraceMs: 10_000,
      stdin: job.takesInput,
      inspect: false,
      upload: null,
      workspace: null,
      artifacts: [],
      network: { mode: 'none' },
    },
  };
}
