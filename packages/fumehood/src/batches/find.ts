import type { Client } from '@fumehood/client';
import { type BatchChangeRecord, batchIdSchema } from '@fumehood/protocol';
import { batchChangeAmbiguous, batchChangeNotFound } from './errors.ts';

/** Returns the batch change of an id, or of a name, in a namespace if one is given. Errors: `batch_change_not_found`, `batch_change_ambiguous`. */
export async function findBatchChange(
  { batches }: Pick<Client, 'batches'>,
  named: string,
  namespace: string | undefined,
): Promise<BatchChangeRecord> {
  if (batchIdSchema.safeParse(named).success) return await batches.batchChange(named);
  const found = await batches.list({ name: named, ...(namespace !== undefined && { namespace }) });
  if (!found[0]) throw batchChangeNotFound(named, namespace);
  if (found.length > 1)
    throw batchChangeAmbiguous(
      named,
      found.map((one) => one.namespace),
    );
  return found[0];
}
