import type { Clock } from '@fumehood/base';
import type { CodeHost } from './code-host.ts';

/** A repository on a code host, and what its client needs. */
export interface HostRepository {
  /** The name of the code host. */
  readonly name: string;
  /** Of the host's pages. */
  readonly url: string;
  readonly token: string;
  /** The path of the repository on the host: for each kind a valid one. */
  readonly path: readonly string[];
  /** Whether the admin has all changesets made in forks. */
  readonly forks: boolean;
  readonly clock: Pick<Clock, 'now'>;
  /** Milliseconds since 1970: the host has asked for no requests before. */
  readonly limitedUntil: number | null;
  /** Is told when the host asks for no requests before a time, milliseconds since 1970. */
  readonly onLimited: (until: number) => Promise<void>;
}

/** A kind of code host. */
export interface HostClient {
  /** Whether a repository of this host can have the path. */
  isRepository(path: readonly string[]): boolean;
  open(repository: HostRepository): CodeHost;
}
