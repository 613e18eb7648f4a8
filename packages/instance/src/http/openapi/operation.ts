import type * as z from 'zod';
import type { AnswerName } from './schemas.ts';

/** What the document says of a route besides the schemas with which the route is registered. */
export interface Operation {
  readonly summary: string;
  /** What the route answers with success: a schema, a stream of events with a schema, a media type, or nothing. */
  readonly answers: Readonly<
    Record<number, AnswerName | { readonly events: AnswerName } | `${string}/${string}` | null>
  >;
  /** The body is raw bytes. */
  readonly bytes?: boolean;
  readonly headers?: Readonly<Record<string, z.ZodType>>;
  /** The path and its parameter, for a route that is registered with `*`. */
  readonly wildcard?: { readonly path: string; readonly name: string; readonly schema: z.ZodType };
}
