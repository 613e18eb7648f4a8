import {
  afterTransition,
  type JobLife,
  type JobTransition,
  jobTransitions,
  newLife,
} from '@fumehood/protocol';

/** What the simulation does to the system. */
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

/** The name of a transition: where from, what, where to. `*`: a cancel was asked for. */
export function edgeName(before: JobLife, transition: JobTransition, after: JobLife): string {
  const name = (life: JobLife) =>
    life.state === 'processing' && life.cancelRequested ? 'processing*' : life.state;
  return `${name(before)} -${transition}-> ${name(after)}`;
}

/** Every transition that the lifecycle's table has, found by walking it. */
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
 * Which transition met which fault: one that hit the job, what it is about or who works on it, after the transition before it and
 * before the one that follows.
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

  /** Takes over another history's counts. */
  add(other: Coverage): void {
    for (const [pair, count] of other.counts) this.counts.set(pair, (this.counts.get(pair) ?? 0) + count);
  }

  /** Transitions that never met some fault. */
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
