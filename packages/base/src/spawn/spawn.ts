import type { Readable, Writable } from 'node:stream';

/**
 * The one way in which a program that reads bytes of a tenant (git, squashfs tools, `src`, …) is run: under a uid
 * of its own, in namespaces of its own, with no network, an empty HOME, no-new-privs, a seccomp filter, limits
 * and a deadline (design invariant 5). What it may see is named here; everything else is not there.
 */
export interface SpawnRequest {
  /** For logs and errors, e.g. `git index-pack`. */
  readonly label: string;
  /** Absolute path of the program as it is inside: below /usr, or below a bind. */
  readonly program: string;
  readonly args: readonly string[];
  /** The whole environment besides PATH, HOME=/tmp and LC_ALL=C.UTF-8; nothing is inherited. */
  readonly env?: Readonly<Record<string, string>>;
  /** Host paths shown inside. A `rw` directory must have been made by `sharedDirectory`. */
  readonly binds?: readonly SpawnBind[];
  /** Working directory inside; default `/tmp`, which is an empty tmpfs. */
  readonly cwd?: string;
  readonly limits?: SpawnLimits;
}

export interface SpawnBind {
  readonly source: string;
  readonly target: string;
  readonly mode: 'ro' | 'rw';
}

export interface SpawnLimits {
  /** Wall time after which everything is killed. Default 600,000. */
  readonly timeMs?: number;
  /** Address space, bytes (RLIMIT_AS). Default 4 GiB; 0 lifts it, for runtimes that reserve more than they use. */
  readonly memoryBytes?: number;
  /** Largest file it may write, bytes (RLIMIT_FSIZE). Default 16 GiB. */
  readonly fileBytes?: number;
  /** Open files (RLIMIT_NOFILE). Default 1,024. */
  readonly files?: number;
  /** Processes and threads at once (RLIMIT_NPROC). Default 1,024. */
  readonly processes?: number;
}

export interface ExitStatus {
  /** Exit code, or null when a signal ended it. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** True when the deadline of the request ended it. */
  readonly timedOut: boolean;
}

export interface SpawnedProcess {
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** Resolves, never rejects, once the process and everything that it started are dead. */
  readonly exited: Promise<ExitStatus>;
  kill(): void;
}

/** Starts one program. Rejects with code `spawn_failed` when it cannot be started. */
export type Spawn = (request: SpawnRequest) => Promise<SpawnedProcess>;
