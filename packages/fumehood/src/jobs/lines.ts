import type { Attempt, JobPage, JobRecord, Share, Why } from '@fumehood/protocol';

/** Columns, each as wide as its widest cell; the last one as it comes. */
export function table(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column] ?? 0)))
      .join('  ')
      .trimEnd(),
  );
}

export function pageLines({ jobs, next }: JobPage): string[] {
  if (jobs.length === 0) return ['no jobs'];
  const rows = jobs.map((job) => [
    String(job.id),
    job.queue,
    stateOf(job),
    job.tenant,
    String(job.attempt),
    job.queuedAt,
    job.failure?.reason ?? '',
  ]);
  const lines = table([['JOB', 'QUEUE', 'STATE', 'TENANT', 'ATTEMPT', 'QUEUED', 'FAILURE'], ...rows]);
  return next === null ? lines : [...lines, `more: --before ${next}`];
}

export function jobLines(job: JobRecord, attempts: readonly Attempt[]): string[] {
  const { cpus, memoryMiB, scratchMiB } = job.resources;
  const facts: [string, string | null][] = [
    ['job', `${job.id} in ${job.queue}, of ${job.tenant}`],
    ['state', stateOf(job)],
    ['failure', job.failure && `${job.failure.reason}: ${firstLine(job.failure.message)}`],
    ['accepts', job.accept.join(', ')],
    ['asks for', `${cpus} CPUs, ${memoryMiB} MiB of memory, ${scratchMiB} MiB of disk`],
    ['arch', job.arch],
    ['labels', job.labels.join(', ') || null],
    ['priority', job.priority === 0 ? null : String(job.priority)],
    ['queued', job.queuedAt],
    ['not before', job.processAfter],
    ['started', job.startedAt],
    ['finished', job.finishedAt],
    ['upload', job.uploadId === null ? null : String(job.uploadId)],
  ];
  const rows = attempts.map((one) => [
    String(one.attempt),
    one.outcome,
    one.executor,
    one.tier ?? '',
    one.exitCode === null ? '' : String(one.exitCode),
    one.startedAt,
    one.failure ? `${one.failure.reason}: ${firstLine(one.failure.message)}` : '',
  ]);
  return [
    ...table(facts.flatMap(([name, value]) => (value === null ? [] : [[name, value]]))),
    ...(rows.length === 0
      ? []
      : ['', ...table([['ATTEMPT', 'OUTCOME', 'EXECUTOR', 'TIER', 'EXIT', 'STARTED', 'FAILURE'], ...rows])]),
  ];
}

export function whyLines(id: number, why: Why): string[] {
  if (!why.waiting) return [`job ${id} does not wait: it is ${why.state}`];
  return [
    `job ${id} waits: ${why.waiting.message}`,
    `  ${why.waiting.remedy}`,
    ...(why.expectedStartAt === null ? [] : [`  it is expected to start at ${why.expectedStartAt}`]),
  ];
}

export function shareLines(shares: readonly Share[]): string[] {
  if (shares.length === 0) return ['no tenant has queued a job yet'];
  const rows = shares.map((one) => [
    one.queue,
    one.tenant,
    String(one.weight),
    String(one.waiting),
    String(one.running),
  ]);
  return table([['QUEUE', 'TENANT', 'WEIGHT', 'WAITING', 'RUNNING'], ...rows]);
}

const stateOf = (job: JobRecord) =>
  job.cancelRequested && job.state === 'processing' ? 'processing (canceling)' : job.state;
const firstLine = (text: string) => text.split('\n', 1)[0] ?? '';
