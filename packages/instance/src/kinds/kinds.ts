import type { ServedQueue } from '@fumehood/protocol';
import type { QueueKind, QueueKinds } from '../queue/kind.ts';
import { codeintelKind } from './codeintel.ts';
import { runsKind } from './runs.ts';
import type { KindStores } from './stores.ts';

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
