import { badRequest } from '../errors.ts';

/** Returns the id of a node: opaque for clients, and without a character that a path would have to escape if `parts` are words. */
export const idOf = (type: string, ...parts: readonly string[]): string =>
  Buffer.from([type, ...parts].join(':')).toString('base64');

/** Returns what names a node of this type in an id; null for an id of another type. */
export function keyIn(type: string, id: string): string | null {
  const text = Buffer.from(id, 'base64').toString('utf8');
  return text.startsWith(`${type}:`) && idOf(text) === id ? text.slice(type.length + 1) : null;
}

/** Returns what names a node of this type in an id. One of another type names nothing: what is asked for with it is not found. */
export const keyOf = (type: string, id: string): string => keyIn(type, id) ?? id;

/** Most ids that a mutation takes, each of which is looked up. */
const idsMax = 1_000;

/** Returns what names each of these nodes of a type. Errors: `invalid_request` for too many. */
export function keysOf(type: string, ids: readonly string[]): string[] {
  if (ids.length > idsMax) throw badRequest(`a list of ids has at most ${idsMax}`);
  return ids.map((id) => keyOf(type, id));
}
