import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { routes } from './requests.ts';

/**
 * The path of the description of the API that Firecracker publishes: `src/firecracker/swagger/firecracker.yaml` in its sources, as
 * `FUMEHOOD_FIRECRACKER_API=… npm run unit`. This repository has no copy of it.
 */
const file = process.env.FUMEHOOD_FIRECRACKER_API ?? '';

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
interface Published {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation | undefined>> | undefined>>;
  readonly definitions: Readonly<Record<string, Schema>>;
}
interface Operation {
  readonly parameters: readonly { readonly in: string; readonly schema: Schema }[];
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
    if (their) found.push(...excess(property, their, { definitions, paths: {} }, `${at}.${name}`));
    else found.push(`${at}: unknown ${name}`);
  }
  return found;
}

/** Returns why Firecracker might refuse a request of this route. */
function excessOf(route: { method: string; path: string; body: z.ZodType }, published: Published): string[] {
  const operation = published.paths[route.path]?.[route.method.toLowerCase()];
  const body = operation?.parameters.find((parameter) => parameter.in === 'body');
  if (!body) return [`${route.method} ${route.path} is unknown`];
  return excess(z.toJSONSchema(route.body) as Schema, body.schema, published);
}

describe.skipIf(file === '')('the API that Firecracker publishes', () => {
  it.each(Object.entries(routes))('accepts every %s that we can send', (_, route) => {
    expect(excessOf(route, parse(readFileSync(file, 'utf8')) as Published)).toEqual([]);
  });
});

describe('the comparison with a published API', () => {
  const published: Published = {
    paths: {
      '/thing/{id}': { put: { parameters: [{ in: 'body', schema: { $ref: '#/definitions/Thing' } }] } },
    },
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
    excessOf({ method: 'PUT', path: '/thing/{id}', body: z.strictObject(shape), ...more }, published);
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
