import { FumehoodError } from '@fumehood/base';
import { queueNameSchema } from '@fumehood/protocol';
import type { FastifyRequest } from 'fastify';
import * as z from 'zod';

/** The parameter for a queue in a path. A path with another name has no route. */
export const queueParam = `:queue(^(?:${queueNameSchema.options.join('|')})$)`;
/** Returns the queue that the path of a request names. */
export const queueOf = (request: FastifyRequest) =>
  queueNameSchema.parse((request.params as { queue?: unknown }).queue);

/** Refuses unknown queue names of a request, with upstream's one text for all of them; called before the schema check. */
export function checkQueueNames(names: unknown): void {
  const found = z.array(z.string()).max(100).safeParse(names);
  if (!found.success) return;
  const unknown = found.data.filter((name) => !queueNameSchema.safeParse(name).success);
  if (unknown.length > 0) throw invalidQueues(unknown);
}

function invalidQueues(names: readonly string[]): FumehoodError {
  const supported = [...queueNameSchema.options].sort().join(', ');
  return new FumehoodError({
    status: 500,
    code: 'invalid_queue',
    message: `Invalid queue name(s) '${names.join(', ')}' found. Supported queue names are '${supported}'.`,
  });
}
