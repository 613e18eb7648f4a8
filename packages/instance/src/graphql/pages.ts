import { numberInText } from '@fumehood/protocol';
import { badRequest } from '../errors.ts';

/** Nodes of a page. */
export const pageMax = 100;

/** Which page of a list is asked for, whose cursors are numbers. */
export interface Page {
  readonly first: number;
  readonly after?: string | null;
}

/** Checks which page is asked for, of at most `max`. `after` is 0 for the first one. Errors: `invalid_request`. */
export function pageOf(
  { first, after }: Page,
  max = pageMax,
): { readonly limit: number; readonly after: number } {
  if (first < 1 || first > max) throw badRequest(`\`first\` is from 1 to ${max}`);
  const place = numberInText.safeParse(after ?? '0');
  if (!place.success) throw badRequest('`after` is an `endCursor` of this list');
  return { limit: first, after: place.data };
}

/** Makes what a page says of the next one. `next`: what is `after` for that; null: there is none. */
export const pageInfo = (next: number | null) => ({
  endCursor: next === null ? null : String(next),
  hasNextPage: next !== null,
});
