import { hasEnded, jobIdHeader } from '@fumehood/protocol';
import type { Job } from '@fumehood/protocol';
import { Coverage } from './coverage.ts';
import { Database } from './database.ts';
import { type Disasters, type Scene, startDisasters, type WorstMoment } from './disasters.ts';
import type { Guard } from './guards.ts';
import { Machine } from './machine.ts';
import { type Answer, Network, type Reply, type WireRequest } from './network.ts';
import { cancel, startPeople } from './people.ts';
import { Replica } from './replica.ts';
import { leaseMs, Store } from './store.ts';
import type { StoredJob } from './stored-job.ts';
import { Truth } from './truth.ts';
import type { Program } from './vm.ts';
import { World } from './world.ts';

export interface Outcome {
  readonly seed: number;
  /** The first broken promise, or null. */
  readonly violation: string | null;
  /** A hash of everything that happened. */
  readonly digest: string;
  readonly trace: readonly string[];
  readonly events: number;
  /** True time that passed in the simulation, ms. */
  readonly virtualMs: number;
  readonly coverage: Coverage;
  /** How each job ended, and after how many attempts. */
  readonly jobs: readonly { readonly state: string; readonly attempts: number; readonly resets: number }[];
}

export interface SimulationOptions {
  /** A guard to remove. */
  readonly removed?: Guard;
  /** True: no disaster happens. */
  readonly calm?: boolean;
}

/** Time in which every job has to end after the last disaster, ms. A silent connection is given up after 300 s. */
const patienceMs = 1_500_000;
/** An answer that takes longer leaves a lease of which much is over, ms. */
const lateMoreThanMs = 2_500;
/** Time after which everything that was sent during the disasters has arrived, ms. */
const lateMs = 35_000;

/** Runs one history: executors, replicas, people and their jobs, first with disasters and then without. The same seed gives the same history. */
export async function simulate(seed: number, options: SimulationOptions = {}): Promise<Outcome> {
  const { removed = null, calm = false } = options;
  const world = new World(seed);
  const { random } = world;
  const coverage = new Coverage();
  const database = new Database(world);
  const truth = new Truth(world, coverage, () => database.now());
  const store = new Store(truth, removed, () => database.now());
  const replicas: Replica[] = [];
  const waiting = () =>
    [...store.jobs.values()]
      .filter(({ life }) => !hasEnded(life.state) && life.state !== 'processing')
      .map(({ id }) => id);
  const jobsOf = (request: WireRequest): Iterable<number> => concernedBy(request, waiting);
  const network = new Network(world, coverage, replicas, jobsOf);
  let slowBodies = 0;
  const instance = {
    ...{ world, database, store, truth, removed },
    announce: () => {
      for (const replica of replicas) world.after(random.between(0, 5), () => replica.wake());
    },
    refused: (request: WireRequest) => coverage.fault('database away', jobsOf(request)),
    bodyMs: () => (random.chance(slowBodies) ? random.between(0, 25_000) : random.between(0, 5)),
  };
  for (let n = random.int(1, 3); n > 0; n -= 1) replicas.push(new Replica(`replica ${n}`, instance));
  let disasters: Disasters | null = null;
  const answered = (request: WireRequest, reply: Reply) => {
    if (!('answer' in reply) || reply.broken) return;
    truth.answered(request, reply.answer);
    const leftMs = (jobId: number) => (store.jobs.get(jobId)?.expiresAt ?? 0) - database.now();
    const moment = worstMoment(request, reply.answer, world.time - request.sentAt, leftMs);
    if (moment) disasters?.answered(request.from, moment);
    // Cancel a job just before it would end.
    if (!calm && request.path.endsWith('/result') && random.chance(0.3))
      cancel(people, Number(request.headers[jobIdHeader]));
  };
  const people = { world, network, answered };
  const machines = Array.from({ length: random.int(1, 3) }, (_, n) => {
    return new Machine(`e${n + 1}`, {
      ...{ world, network, removed, answered },
      booted: (vm) => truth.bootedVm(vm, store.jobs.get(vm.jobId) as StoredJob),
      program: (job) => randomProgram(world, job),
    });
  });
  const scene: Scene = {
    ...{ world, coverage, network, database, machines, replicas },
    *concerned(machine) {
      const recently = database.now() - 5_000;
      for (const { id, executor, finishedAt, attempts } of store.jobs.values()) {
        const of = executor ?? (finishedAt === null ? null : attempts.at(-1)?.executor);
        if ((finishedAt ?? Infinity) > recently && (!machine || of === null || of === machine.name)) yield id;
      }
    },
  };
  const disasterMs = random.between(30_000, 90_000);
  startPeople(people, disasterMs * 0.7);
  disasters = calm ? null : startDisasters(scene);
  slowBodies = calm ? 0 : random.pick([0, 0.1, 0.3, 0.3]);
  world.after(disasterMs, () => {
    disasters?.end();
    slowBodies = 0;
    world.note('nothing goes wrong any more');
  });
  const allEnded = () =>
    world.time > disasterMs + lateMs && [...store.jobs.values()].every(({ life }) => hasEnded(life.state));
  if (!(await world.run(allEnded, disasterMs + patienceMs))) {
    const left = [...store.jobs.values()].filter(({ life }) => !hasEnded(life.state));
    world.violate(`these jobs never end: ${left.map(({ id, life }) => `j${id} (${life.state})`).join(', ')}`);
  }
  if (world.violation === null) truth.atTheEnd(store.jobs);
  return {
    seed,
    violation: world.violation,
    digest: world.digest(),
    trace: world.trace,
    events: world.events,
    virtualMs: world.time,
    coverage,
    jobs: [...store.jobs.values()].map(({ life: { state, attempt, resets } }) => ({
      state,
      attempts: attempt,
      resets,
    })),
  };
}

function worstMoment(
  { path }: WireRequest,
  { status, body }: Answer,
  tookMs: number,
  leftMs: (jobId: number) => number,
): WorstMoment | null {
  if (status >= 300) return null;
  if (path.endsWith('/dequeue')) {
    if (status === 204) return null;
    const { id } = JSON.parse(String(body)) as { id: number };
    return leftMs(id) < leaseMs - lateMoreThanMs ? 'late' : 'leased';
  }
  if (path.endsWith('/heartbeat')) return tookMs > lateMoreThanMs ? 'late' : null;
  return path.includes('/mark') ? 'ended' : null;
}

function concernedBy(request: WireRequest, waiting: () => number[]): Iterable<number> {
  const { path, headers, body } = request;
  if (path.startsWith('/api/jobs/')) return [Number(path.split('/')[3])];
  if (path === '/api/jobs') return [];
  if (path.endsWith('/dequeue')) return waiting();
  if (!path.endsWith('/heartbeat')) return [Number(headers[jobIdHeader])];
  const { jobIdsByQueue } = JSON.parse(body.toString()) as { jobIdsByQueue: { jobIds: string[] }[] };
  return jobIdsByQueue.flatMap(({ jobIds }) => jobIds.map(Number));
}

function randomProgram({ random }: World, job: Job): Program {
  const chunks = random.int(0, 12);
  const longMs = random.pick([200, 1_000, 3_000]);
  return {
    takesInput: job.fumehood?.stdin ?? false,
    output: Array.from({ length: chunks }, () => ({
      afterMs: random.chance(0.4) ? random.between(0, 30) : random.between(0, longMs),
      stream: random.chance(0.8) ? 'stdout' : 'stderr',
      bytes: random.chance(0.02) ? 300_000 : random.int(1, 3_000),
    })),
    afterMs: random.chance(0.4) ? random.between(10_000, 60_000) : random.between(0, longMs),
    end: random.pick([0, 0, 0, 1, 'died'] as const),
  };
}
