import { isStorable, storableText } from '@fumehood/protocol';
import type { FastifyRequest } from 'fastify';
import { badRequest } from '../errors.ts';

/**
 * The edge for all text that comes from outside. Text of people and programs that the database cannot store is refused with 400.
 * What an executor sends may be a repository's or a guest's, and the executor cannot change it: `storable` makes it storable.
 */

/**
 * Refuses a request whose path, query or, on the routes of people, JSON body holds a text that the database cannot store. Errors:
 * `invalid_request`.
 */
export async function requireStorable(request: FastifyRequest): Promise<void> {
  const ofExecutor = request.url.startsWith('/.executors/');
  const { params, query, body } = request;
  const parts = { params, query, ...(!ofExecutor && isJson(body) && { body }) };
  // A stack in place of recursion: the body may be nested more deeply than the program's own stack.
  const stack: [path: string, value: unknown][] = Object.entries(parts);
  for (let next = stack.pop(); next; next = stack.pop()) {
    const [path, value] = next;
    if (typeof value === 'string' && !isStorable(value))
      throw badRequest(`${path} holds a NUL or half of a surrogate pair, which cannot be stored`);
    if (value === null || typeof value !== 'object') continue;
    for (const [name, inner] of Object.entries(value)) {
      if (!isStorable(name))
        throw badRequest(
          `a name below ${path} holds a NUL or half of a surrogate pair, which cannot be stored`,
        );
      stack.push([path.length < 100 ? `${path}.${name}` : path, inner]);
    }
  }
}

/** Checks whether a body was parsed from JSON; others are streams and bytes. */
function isJson(body: unknown): boolean {
  return (
    typeof body === 'string' || Array.isArray(body) || Object.getPrototypeOf(body ?? 0) === Object.prototype
  );
}

/** Returns a value that a schema has parsed, with every text in it made storable. Bytes stay as they are. */
export function storable<T>(value: T): T {
  return mend(value) as T;
}

function mend(value: unknown): unknown {
  if (typeof value === 'string') return storableText(value);
  if (Array.isArray(value)) return value.map(mend);
  if (value === null || typeof value !== 'object' || value instanceof Uint8Array) return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [storableText(name), mend(inner)]));
}
