import type { ServedQueue } from '@fumehood/protocol';
import type { QueueKind, QueueKinds } from '../queue/kind.ts';
import { codeintelKind } from './codeintel.ts';
import { runsKind } from './runs.ts';

/** The parts of the instance that a kind needs to create a job. */
export interface KindStores {
  readonly hasBlob: (digest: string) => Promise<boolean>;
  readonly hasCommit: (repository: string, commit: string) => Promise<boolean>;
  /** Whether the configuration has an address of this instance for executors of upstream's kind, which their uploads need. */
  readonly hasExecutorUrl: boolean;
}

/** The implementation of every kind that has a request in the protocol's table (`protocol/src/kinds.ts`). */
const implementations: { readonly [Q in ServedQueue]: (stores: KindStores) => QueueKind<Q> } = {
  codeintel: codeintelKind,
  runs: runsKind,
};

/** Returns the kinds of job that the instance makes, by queue. */
export function makeKinds(stores: KindStores): QueueKinds {
  const kinds: QueueKind[] = Object.values(implementations).map((make) => make(stores));
  return new Map(kinds.map((kind) => [kind.name, kind]));
}
