import type { QueueName } from '@fumehood/protocol';
import type { QueueKind, QueueKinds } from '../queue/kind.ts';
import { batchesKind } from './batches.ts';
import { codeintelKind } from './codeintel.ts';
import { runsKind } from './runs.ts';
import type { KindStores } from './stores.ts';

/** The implementation of every kind of the protocol's table (`protocol/src/kinds.ts`). */
const implementations: { readonly [Q in QueueName]: (stores: KindStores) => QueueKind<Q> } = {
  batches: batchesKind,
  codeintel: codeintelKind,
  runs: runsKind,
};

/** Returns the kinds of job that the instance makes, by queue. */
export function makeKinds(stores: KindStores): QueueKinds {
  const kinds: QueueKind[] = Object.values(implementations).map((make) => make(stores));
  return new Map(kinds.map((kind) => [kind.name, kind]));
}
