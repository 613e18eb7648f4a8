import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import published from './published-api.json' with { type: 'json' };
import { routes } from './requests.ts';

interface Schema {
  readonly $ref?: string;
  readonly type?: string;
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
}
/** What Firecracker says of its requests: the schema of the body by method and path, and the schemas that these refer to. */
interface Published {
  readonly requests: Readonly<Record<string, Schema>>;
  readonly definitions: Readonly<Record<string, Schema>>;
}

/** Returns why a value that fits `ours` may not fit `published`: nothing if every such value does. */
function excess(ours: Schema, published: Schema, { definitions }: Published, at = 'body'): string[] {
  const theirs = published.$ref ? definitions[published.$ref.replace('#/definitions/', '')] : published;
  if (!theirs) return [`${at}: ${published.$ref} is not defined`];
  if (ours.type !== theirs.type) return [`${at}: ${ours.type} is not ${theirs.type}`];
  const found: string[] = [];
  const values = ours.const === undefined ? ours.enum : [ours.const];
  if (theirs.enum && !values?.every((value) => theirs.enum?.includes(value)))
    found.push(`${at}: ${JSON.stringify(values)} are not all of ${JSON.stringify(theirs.enum)}`);
  if ((theirs.minimum ?? -Infinity) > (ours.minimum ?? -Infinity))
    found.push(`${at}: less than ${theirs.minimum}`);
  if ((theirs.maximum ?? Infinity) < (ours.maximum ?? Infinity))
    found.push(`${at}: more than ${theirs.maximum}`);
  for (const name of theirs.required ?? [])
    if (!ours.required?.includes(name)) found.push(`${at}: without ${name}`);
  for (const [name, property] of Object.entries(ours.properties ?? {})) {
    const their = theirs.properties?.[name];
    if (their) found.push(...excess(property, their, { definitions, requests: {} }, `${at}.${name}`));
    else found.push(`${at}: unknown ${name}`);
  }
  return found;
}

/** Returns why Firecracker might refuse a request of this route. */
function excessOf(route: { method: string; path: string; body: z.ZodType }, published: Published): string[] {
  const body = published.requests[`${route.method} ${route.path}`];
  if (!body) return [`${route.method} ${route.path} is unknown`];
  return excess(z.toJSONSchema(route.body) as Schema, body, published);
}

describe(`the API that Firecracker ${published.version} publishes`, () => {
  it.each(Object.entries(routes))('accepts every %s that we can send', (_, route) => {
    expect(excessOf(route, published)).toEqual([]);
  });
});

describe('the comparison with a published API', () => {
  const things: Published = {
    requests: { 'PUT /thing/{id}': { $ref: '#/definitions/Thing' } },
    definitions: {
      Thing: {
        type: 'object',
        required: ['id'],
        properties: {
          id: { type: 'string' },
          count: { type: 'integer', minimum: 1, maximum: 32 },
          kind: { type: 'string', enum: ['A', 'B'] },
          part: { $ref: '#/definitions/Thing' },
        },
      },
    },
  };
  const found = (shape: Readonly<Record<string, z.ZodType>>, more = {}) =>
    excessOf({ method: 'PUT', path: '/thing/{id}', body: z.strictObject(shape), ...more }, things);
  const id = z.string();

  it('accepts what fits', () => {
    const kind = z.enum(['A', 'B']).optional();
    const part = z.strictObject({ id }).optional();
    expect(found({ id, count: z.int().min(1).max(32), kind, part })).toEqual([]);
    expect(found({ id, kind: z.literal('A') })).toEqual([]);
  });

  it.each<[string, Readonly<Record<string, z.ZodType>>, string]>([
    ['a field that is unknown', { id, more: id }, 'body: unknown more'],
    ['a required field that is missing', {}, 'body: without id'],
    ['a required field that may be missing', { id: id.optional() }, 'body: without id'],
    ['another type', { id: z.int() }, 'body.id: integer is not string'],
    ['too small a number', { id, count: z.int().min(0).max(32) }, 'body.count: less than 1'],
    ['too large a number', { id, count: z.int().min(1) }, 'body.count: more than 32'],
    [
      'a value that is unknown',
      { id, kind: z.enum(['A', 'C']) },
      'body.kind: ["A","C"] are not all of ["A","B"]',
    ],
    ['any text for a value', { id, kind: z.string() }, 'body.kind: undefined are not all of ["A","B"]'],
    ['a part that does not fit', { id, part: z.strictObject({}) }, 'body.part: without id'],
  ])('finds %s', (_, shape, why) => {
    expect(found(shape)).toEqual([why]);
  });

  it('finds a method and a path that are unknown', () => {
    expect(found({ id }, { method: 'PATCH' })).toEqual(['PATCH /thing/{id} is unknown']);
    expect(found({ id }, { path: '/things' })).toEqual(['PUT /things is unknown']);
  });
});
