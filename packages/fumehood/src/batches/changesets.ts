import { counted } from '@fumehood/base';
import type { Client } from '@fumehood/client';
import { type BatchChangeRecord, type ChangesetRecord, someChangesetsMax } from '@fumehood/protocol';
import type { BatchChangeOptions } from '../cli/batch-options.ts';
import { connect } from '../cli/context.ts';
import { printDone } from '../cli/print.ts';
import { findBatchChange } from './find.ts';

/** Something that is done with changesets of a batch change. */
interface ChangesetsChange {
  /** What is said of the changesets once the instance is asked: they will `be archived`. */
  readonly will: string;
  /** Chooses the changesets if the user has named none. */
  readonly byDefault?: (changeset: ChangesetRecord) => boolean;
  readonly ask: (
    batches: Client['batches'],
    batchChange: string,
    ids: readonly string[],
  ) => Promise<BatchChangeRecord>;
}

/** Asks the instance for something with changesets of a batch change, and says so. Errors: those of `findBatchChange`, `changeset_not_found`. */
export async function changeChangesets(
  named: string,
  ids: readonly string[],
  { namespace, ...options }: BatchChangeOptions,
  { will, byDefault, ask }: ChangesetsChange,
): Promise<void> {
  const { batches } = await connect(options);
  let now = await findBatchChange({ batches }, named, namespace);
  const chosen =
    ids.length > 0 || !byDefault
      ? ids
      : (await batches.changesets(now.id))
          .filter((one) => one.archivedAt === null && one.detachedAt === null && byDefault(one))
          .map(({ id }) => id);
  // A request has a bound.
  for (let at = 0; at < chosen.length; at += someChangesetsMax)
    now = await ask(batches, now.id, chosen.slice(at, at + someChangesetsMax));
  printDone(
    options,
    now,
    `${counted(chosen.length, 'changeset')} of ${now.name} will ${will}: \`fumehood batches show ${now.name}\` shows them`,
  );
}
