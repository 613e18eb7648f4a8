import { getIntrospectionQuery, parse } from 'graphql';
import { describe, expect, it } from 'vitest';
import type { Person } from '../auth/people.ts';
import { answerGraphql } from './answer.ts';
import { checkLimits, queryLimits } from './limits.ts';
import type { QueryDeps } from './part.ts';

const person: Person = {
  ...{ userId: 1, name: 'ann', admin: false, scopes: ['code:read'] as const },
  token: { name: 'laptop', expiresAt: null },
};
/** Every use of the database or of a mirror fails. */
const none = new Proxy({}, { get: () => expect.fail('something was asked') }) as QueryDeps;
const ask = (query: string) => answerGraphql(none, person, { query }, (error) => expect.fail(String(error)));

const repeat = (count: number, text: (at: number) => string) =>
  Array.from({ length: count }, (_, at) => text(at)).join(' ');
const nested = (levels: number, open: string) => `${`${open} {`.repeat(levels)} id ${'}'.repeat(levels)}`;
const asked = (fields: string) =>
  `{ repository(name: "a") { commit(rev: "b") { blob(path: "c") { lsif { ${fields} } } } } }`;
const references = 'references(line: 0, character: 0) { nodes { resource';

describe('a request is refused before anything is asked', () => {
  it.each([
    ['of 5,000 aliases', `{ ${repeat(5_000, (at) => `a${at}: site { productVersion }`)} }`, /2000 tokens/],
    ['of 100 aliases', `{ ${repeat(100, (at) => `a${at}: currentUser { id }`)} }`, /aliases 100, at most 50/],
    ['of 10,000 levels', `{ ${nested(10_000, 'repository')} }`, /2000 tokens/],
    ['of 300 levels', `{ ${nested(300, 'repository')} }`, /depth 301, at most 25/],
    ['of one field 900 times', `{ ${'__typename '.repeat(900)} }`, /fields 900, at most 300/],
    [
      'whose fragments double, twenty times',
      `{ ...f0 } ${repeat(20, (at) => `fragment f${at} on Query { ...f${at + 1} ...f${at + 1} }`)} fragment f20 on Query { __typename }`,
      /fields 1048576, at most 300/,
    ],
    [
      'whose fragments contain each other',
      '{ ...a } fragment a on Query { ...b } fragment b on Query { ...a }',
      /the fragment a contains itself/,
    ],
    [
      'of a list below a list',
      asked(`${references} { lsif { ${references} { path } } } } } } }`),
      /questionsOfPlaces 2, at most 0/,
    ],
    [
      'that asks git for each place of a list',
      asked(`${references} { repository { commit(rev: "a") { oid } } } } }`),
      /questionsOfPlaces 1, at most 0/,
    ],
    [
      'of 30 questions',
      asked('hover(line: 0, character: 0) { range { start { line } } } '.repeat(30)),
      /questions 33, at most 20/,
    ],
    [
      'that reads the log of each workspace of a list',
      '{ node(id: "a") { ... on BatchSpec { workspaceResolution { workspaces { nodes { ... on VisibleBatchSpecWorkspace { stages { setup { out } } } } } } } } }',
      /details 200, at most 12/,
    ],
    [
      'that asks for the schema in a circle',
      `{ __schema { types { ${nested(4, 'fields { type')}${' }'.repeat(4)} } } }`,
      /introspection depth/i,
    ],
    ['that is no GraphQL', '{ site {', /Syntax Error/],
    ['of a field that is none', '{ sight { productVersion } }', /Cannot query field "sight"/],
    ['that changes what nobody can', 'mutation { a }', /Cannot query field "a" on type "Mutation"/],
  ])('one %s', async (_, query, expected) => {
    const { data, errors } = await ask(query);
    expect(data).toBeUndefined();
    expect(errors?.length).toBeLessThanOrEqual(20);
    expect(errors?.[0]?.message).toMatch(expected);
  });
});

it('the schema can be read, as editors do, within the bounds', async () => {
  const query = getIntrospectionQuery();
  expect(() => checkLimits(parse(query, { maxTokens: queryLimits.tokens }))).not.toThrow();
  const { data, errors } = await ask(query);
  expect(errors).toBeUndefined();
  const { __schema: read } = data as { __schema: { types: { name: string }[] } };
  expect(read.types.map(({ name }) => name)).toContain('GitBlobLSIFData');
});

it('an error that is none of the request is logged, and the answer does not say what it is', async () => {
  const logged: unknown[] = [];
  const broken = { db: null, mirrors: null } as unknown as QueryDeps;
  const query = '{ repository(name: "acme/greeter") { id } site { productVersion } }';
  const { data, errors } = await answerGraphql(broken, person, { query }, (error) => logged.push(error));
  expect(data).toEqual({ repository: null, site: { productVersion: '5.6.0' } });
  expect(errors).toEqual([
    {
      message: 'something went wrong in the instance',
      path: ['repository'],
      extensions: { code: 'internal' },
    },
  ]);
  expect(logged).toHaveLength(1);
});
