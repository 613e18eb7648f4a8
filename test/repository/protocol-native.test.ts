import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as protocol from '@fumehood/protocol';
import { expect, test } from 'vitest';
import { offsetGap, versionsApart } from '../../packages/instance/src/errors.ts';

/** Checks that each example of docs/protocol-native.md matches the schema or the refusal that it names. */
const text = readFileSync(join(import.meta.dirname, '../../docs/protocol-native.md'), 'utf8');
const examples = [...text.matchAll(/^```json (\w+)\n([\s\S]*?)^```$/gm)].map(
  ([, name = '', body = '']) => [name, JSON.parse(body) as object] as const,
);
const refusals = { versionsApart: versionsApart('5', 3), offsetGap: offsetGap(4096, 8192) };
const schemas = protocol as unknown as Readonly<
  Record<string, { parse(value: unknown): object } | undefined>
>;

test('every example names a schema or a refusal', () => {
  expect(text.match(/^```json/gm)).toHaveLength(examples.length);
  expect(examples.length).toBeGreaterThan(12);
});

test.each(examples)('the example of a %s matches the code', (name, example) => {
  if (name in refusals) {
    const { message, code, remedy, details } = refusals[name as keyof typeof refusals];
    expect(example).toEqual({ error: message, code, remedy, ...details });
    return;
  }
  const schema = schemas[`${name}Schema`];
  expect(schema, `a schema for ${name}`).toBeDefined();
  const parsed = schema?.parse(example) ?? {};
  // `version` decides how the rest is read; the parsed job does not contain it.
  const fields = Object.keys(example).filter((field) => field !== 'version');
  expect(Object.keys(parsed)).toEqual(expect.arrayContaining(fields));
});
