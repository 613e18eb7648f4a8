import {
  afterTransition,
  type JobLife,
  type JobTransition,
  jobTransitions,
  newLife,
} from '@fumehood/protocol';

/** The faults that the simulation injects. */
export const faults = [
  'request lost',
  'answer lost',
  'duplicate',
  'overtaken',
  'late',
  'partition',
  'executor stopped',
  'executor killed',
  'replica killed',
  'database away',
  "executor's clock set",
  "database's clock set",
  'lease over in mid-write',
] as const;
export type Fault = (typeof faults)[number];

/** Returns the name of a transition: state before, transition, state after. `*` marks a job whose cancel was requested. */
export function edgeName(before: JobLife, transition: JobTransition, after: JobLife): string {
  const name = (life: JobLife) =>
    life.state === 'processing' && life.cancelRequested ? 'processing*' : life.state;
  return `${name(before)} -${transition}-> ${name(after)}`;
}

/** Returns every transition of the state table of jobs. */
export function allEdges(): string[] {
  const found = new Set<string>();
  const seen = new Set<string>();
  const walk = (life: JobLife) => {
    const key = JSON.stringify({ ...life, attempt: 0 });
    if (seen.has(key)) return;
    seen.add(key);
    for (const transition of jobTransitions) {
      const next = afterTransition(life, transition);
      if (!next) continue;
      found.add(edgeName(life, transition, next));
      walk(next);
    }
  };
  walk(newLife({ maxResets: 1, maxRetries: 1 }));
  return [...found].sort();
}

/**
 * Counts which transitions met which faults. A transition of a job meets a fault that hits the job, a request about it or its executor
 * between the previous transition of the job and the next one.
 */
export class Coverage {
  private readonly counts = new Map<string, number>();
  private readonly jobs = new Map<number, { last: string | null; since: Set<Fault> }>();

  fault(fault: Fault, jobs: Iterable<number>): void {
    for (const id of jobs) {
      const job = this.of(id);
      job.since.add(fault);
      if (job.last !== null) this.count(job.last, fault);
    }
  }

  transition(id: number, edge: string): void {
    const job = this.of(id);
    for (const fault of job.since) this.count(edge, fault);
    job.last = edge;
    job.since.clear();
  }

  /** Adds the counts of another history. */
  add(other: Coverage): void {
    for (const [pair, count] of other.counts) this.counts.set(pair, (this.counts.get(pair) ?? 0) + count);
  }

  /** Returns the pairs of transition and fault that never met. */
  missing(): string[] {
    const pairs = allEdges().flatMap((edge) => faults.map((fault) => `${edge} with ${fault}`));
    return pairs.filter((pair) => !this.counts.has(pair));
  }

  rarest(): [string, number][] {
    return [...this.counts].sort((a, b) => a[1] - b[1]).slice(0, 5);
  }

  private of(id: number) {
    const known = this.jobs.get(id) ?? { last: null, since: new Set<Fault>() };
    this.jobs.set(id, known);
    return known;
  }

  private count(edge: string, fault: Fault): void {
    const pair = `${edge} with ${fault}`;
    this.counts.set(pair, (this.counts.get(pair) ?? 0) + 1);
  }
}
