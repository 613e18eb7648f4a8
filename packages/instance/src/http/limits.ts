const KiB = 2 ** 10;
const MiB = 2 ** 20;
const GiB = 2 ** 30;

/**
 * The largest body of a request, in bytes, by what the route takes; a larger one is answered with 413. Blobs, packs and indexes
 * are streams, which their stores limit. No byte of a body is kept before the request has proved its secret, but of deliveries, whose
 * secret signs the body: they share the memory of one holder.
 */
export const bodyLimits = {
  /** JSON of people and programs. */
  api: 4 * MiB,
  /** A request of GraphQL, gzipped or not: a changeset spec has its whole diff in it. */
  graphql: 16 * MiB,
  /** The form with one file that steps mount. */
  batchFile: 11 * MiB,
  /** Bytes for a job's stdin. */
  input: 4 * MiB,
  /** A lease or a heartbeat; upstream's executors send their metrics with a heartbeat. */
  executor: 4 * MiB,
  /** A log entry: upstream's executors send the whole output of a step as one text. */
  logEntry: 64 * MiB,
  /** Bytes of output, which our executors append. */
  logOutput: 4 * MiB,
  /** A batch of receipts. */
  receipts: 4 * MiB,
  /** The end of a step of a batch job, with its stdout and its stderr. */
  step: 16 * MiB,
  /** A mark or a result. */
  mark: MiB,
  /** What a code host says of a push. */
  delivery: MiB,
  /** The request of a git client, gzipped or not: as much as git itself reads at once, and far more than any clone needs. */
  git: 10 * MiB,
} as const;

/** Bounds of what a peer may hold, and for how long. A holder is a secret: a job's token, a credential, an access token. */
export interface RequestLimits {
  /** How long a peer may take for the head of a request and for the handshake of TLS, which come before any secret. */
  readonly headMs: number;
  /**
   * What is read of a body that nobody uses before it is answered: at most so many bytes, for so long, and while the sender is not
   * silent for `stallMs`.
   */
  readonly drain: { readonly bytes: number; readonly ms: number; readonly stallMs: number };
  /** How long a body that nobody uses may go on after the answer. */
  readonly drainMs: number;
  /** Connections of one address, on the address with TLS. */
  readonly connectionsPerAddress: number;
  /** The longest time without any byte of a body, while the instance waits for one. */
  readonly stallMs: number;
  /** Bytes per second that a body, or the reader of an answer of git, must keep up on average after `stallMs`. */
  readonly bytesPerSecond: number;
  /** The longest time of a body that is kept in memory, and of one that goes into a file. */
  readonly bodyMs: { readonly memory: number; readonly file: number };
  /** Bytes of bodies that are on their way into memory for one holder. */
  readonly memoryPerHolder: number;
  /** Uploads of one holder at once: of an index under a job, of blobs and packs under an access token. */
  readonly uploads: {
    readonly job: number;
    readonly person: number;
    /** Indexes of people that are stored at once, and how many of one person may wait for that. */
    readonly personIndexes: number;
    readonly waiting: number;
  };
  /** Diffs of steps that are read at once: up to 64 MiB each. */
  readonly stepDiffs: number;
  /** Parts of uploads of one holder that are received at once, and that may wait for that. */
  readonly parts: { readonly atOnce: number; readonly waiting: number };
  /** Indexes that are stored at once. Each takes a connection to the database; the pool has 16. */
  readonly indexes: number;
  /**
   * Processes of git that serve clones, of one job and of all jobs, and how many requests of one job may wait for one. The instance
   * may have 16 processes.
   */
  readonly clones: { readonly perJob: number; readonly all: number; readonly waiting: number };
  /** Packs that git checks at once. */
  readonly packs: number;
  /** Deliveries of webhooks that are checked at once, and how many for one repository wait. */
  readonly deliveries: { readonly all: number; readonly waiting: number };
  /** How long a request waits for its turn where the instance does only so much at once: to clone, and to store what has arrived. */
  readonly turnMs: { readonly clone: number; readonly store: number; readonly delivery: number };
}

export const requestLimits: RequestLimits = {
  headMs: 10_000,
  drain: { bytes: GiB, ms: 10_000, stallMs: 1_000 },
  drainMs: 10_000,
  connectionsPerAddress: 256,
  stallMs: 30_000,
  bytesPerSecond: 16 * KiB,
  bodyMs: { memory: 600_000, file: 21_600_000 },
  memoryPerHolder: 128 * MiB,
  uploads: { job: 1, person: 16, personIndexes: 2, waiting: 64 },
  stepDiffs: 4,
  parts: { atOnce: 4, waiting: 1_000 },
  indexes: 4,
  clones: { perJob: 2, all: 12, waiting: 16 },
  packs: 4,
  deliveries: { all: 4, waiting: 16 },
  turnMs: { clone: 60_000, store: 300_000, delivery: 10_000 },
};
