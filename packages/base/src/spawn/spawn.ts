import type { Readable, Writable } from 'node:stream';

/**
 * A program to run under the Spawn profile, which is the only way to run a program that reads bytes of a tenant (git, the squashfs
 * tools, `src`, …): under a uid and in namespaces of its own, without network, with an empty HOME, no-new-privs, a seccomp
 * filter, limits and a deadline (docs/invariants.md, 5). Of the host's files it sees /usr and what the request names.
 */
export interface SpawnRequest {
  /** For logs and errors, e.g. `git index-pack`. */
  readonly label: string;
  /** Absolute path of the program inside the sandbox: below /usr, or below a bind. */
  readonly program: string;
  readonly args: readonly string[];
  /** The environment besides PATH, HOME=/tmp and LC_ALL=C.UTF-8. Nothing is inherited. */
  readonly env?: Readonly<Record<string, string>>;
  /** Host paths that are visible inside. A `rw` directory must be made by `sharedDirectory`. */
  readonly binds?: readonly SpawnBind[];
  /** Working directory inside. Default: `/tmp`, an empty tmpfs. */
  readonly cwd?: string;
  readonly limits?: SpawnLimits;
}

export interface SpawnBind {
  readonly source: string;
  readonly target: string;
  readonly mode: 'ro' | 'rw';
}

export interface SpawnLimits {
  /** Wall time, milliseconds, after which everything inside is killed. Default 600,000. */
  readonly timeMs?: number;
  /** Address space, bytes (RLIMIT_AS). Default 4 GiB. 0: no limit, for runtimes that reserve more than they use. */
  readonly memoryBytes?: number;
  /**
   * Memory of all its processes together, bytes, where the caller of `localSpawn` can bound it; without such a bound, and by default,
   * only `memoryBytes` of each.
   */
  readonly totalMemoryBytes?: number;
  /** Size of the largest file that it may write, bytes (RLIMIT_FSIZE). Default 16 GiB. */
  readonly fileBytes?: number;
  /** Open files (RLIMIT_NOFILE). Default 1,024. */
  readonly files?: number;
  /** Processes and threads at the same time (RLIMIT_NPROC). Default 1,024. */
  readonly processes?: number;
}

export interface ExitStatus {
  /** Null when a signal ended the program. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** True when the program was killed at its deadline. */
  readonly timedOut: boolean;
}

export interface SpawnedProcess {
  /** The uid that the program runs as. It owns the files that the program makes. */
  readonly uid: number;
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** Resolves once the process and everything that it started are dead. Never rejects. */
  readonly exited: Promise<ExitStatus>;
  kill(): void;
}

/** Starts one program. Errors: `spawn_failed` when it cannot be started. */
export type Spawn = (request: SpawnRequest) => Promise<SpawnedProcess>;
