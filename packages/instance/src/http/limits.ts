const MiB = 2 ** 20;

/**
 * The largest body of a request, in bytes, by what the route takes; a larger one is answered with 413. Blobs, packs and indexes
 * are streams, which their stores limit.
 */
export const bodyLimits = {
  /** JSON of people and programs. */
  api: 4 * MiB,
  /** Bytes for a job's stdin. */
  input: 4 * MiB,
  /** A lease or a heartbeat; upstream's executors send their metrics with a heartbeat. */
  executor: 4 * MiB,
  /** A log entry: upstream's executors send the whole output of a step as one text. */
  logEntry: 64 * MiB,
  /** Bytes of output, which our executors append. */
  logOutput: 4 * MiB,
  /** A mark or a result. */
  mark: MiB,
  /** The request of a git client, gzipped or not: as much as git itself reads at once, and far more than any clone needs. */
  git: 10 * MiB,
} as const;
