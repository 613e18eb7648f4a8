import { type BatchEvent, batchEventSchema, hasBatchSpecEnded } from '@fumehood/protocol';
import { followEvents } from '../events.ts';
import type { Http } from '../http.ts';

/**
 * Yields the workspaces of a batch spec and its state, and each again when it has changed, until the batch spec has ended. A workspace may come
 * again without a change when the stream was resumed. Errors: `batch_spec_not_found`, and those of `followEvents`.
 */
export async function* batchEvents(
  http: Http,
  spec: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<BatchEvent> {
  yield* followEvents(http, {
    path: `/api/batch-specs/${spec}/events`,
    schema: batchEventSchema,
    isLast: (event) => event.type === 'spec' && hasBatchSpecEnded(event),
    // The instance was stopping: a new stream begins with the state.
    isOver: async () => false,
    ...{ isPatient: true, signal },
  });
}
