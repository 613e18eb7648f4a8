import { FumehoodError } from '@fumehood/base';
import { queueNameSchema } from '@fumehood/protocol';
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';

/** A queue in a path; another one is no route. */
export const queueParam = `:queue(^(?:${queueNameSchema.options.join('|')})$)`;
export const queueOf = (request: FastifyRequest) =>
  queueNameSchema.parse((request.params as { queue?: unknown }).queue);

/** Names that a request holds, before its schema sees them: upstream has one text for all that are wrong. */
export function checkQueueNames(names: unknown): void {
  const found = z.array(z.string()).max(100).safeParse(names);
  if (!found.success) return;
  const wrong = found.data.filter((name) => !queueNameSchema.safeParse(name).success);
  if (wrong.length > 0) throw invalidQueues(wrong);
}

function invalidQueues(names: readonly string[]): FumehoodError {
  const supported = [...queueNameSchema.options].sort().join(', ');
  return new FumehoodError({
    status: 500,
    code: 'invalid_queue',
    message: `Invalid queue name(s) '${names.join(', ')}' found. Supported queue names are '${supported}'.`,
  });
}
