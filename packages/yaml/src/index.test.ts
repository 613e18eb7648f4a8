import { expect, test } from 'vitest';
import { readYaml } from './index.ts';

const read = (text: string, merge = false) => readYaml(text, { merge });

test('a value has the place where it begins, and a missing one that of the value around it', () => {
  const yaml = read('name: a\nsteps:\n  - run: ls\n    if: true\n');
  if (!('value' in yaml)) throw new Error('not read');
  expect(yaml.value).toEqual({ name: 'a', steps: [{ run: 'ls', if: true }] });
  expect(yaml.placeOf(['steps', 0, 'run'])).toEqual({ line: 3, column: 10 });
  expect(yaml.placeOf(['steps', 0, 'container'])).toEqual({ line: 3, column: 5 });
  expect(yaml.placeOf(['steps', 0], 'if')).toEqual({ line: 4, column: 5 });
  expect(yaml.placeOf([])).toEqual({ line: 1, column: 1 });
});

test.each([
  ['a: 1\nb: 2\na: 3\n', { line: 3, column: 1 }, 'the key a is there twice'],
  ['a: [1\n', { line: 2, column: 1 }, 'Flow sequence'],
  ['a:\n  - b: 1\n   c: 2\n', { line: 3, column: 1 }, /^Sequence item without - indicator$/],
  ['a: *b\n', null, 'Unresolved alias'],
  ['a: 1\n---\nb: 2\n', { line: 2, column: 1 }, 'there is a second document'],
])('%j is refused, with its place if there is one', (text, place, message) => {
  const yaml = read(text);
  expect(yaml).toMatchObject({ faults: [{ place, message: expect.stringMatching(message) }] });
});

test('a text whose aliases make a huge value is refused', () => {
  const levels = Array.from(
    { length: 8 },
    (_, n) => `l${n + 1}: &l${n + 1} [${Array(9).fill(`*l${n}`).join()}]`,
  );
  expect(read(['l0: &l0 x', ...levels].join('\n'))).toMatchObject({
    faults: [{ message: expect.stringContaining('alias') }],
  });
});

test('a text that is nested more deeply than the library reads says so', () => {
  const yaml = read(`a: ${'['.repeat(5_000)}${']'.repeat(5_000)}`);
  const messages = 'faults' in yaml ? yaml.faults.map(({ message }) => message) : [];
  expect(new Set(messages)).toEqual(new Set(['it is nested too deeply']));
});

test('a map takes over the fields of others if the reader wants that', () => {
  const text = 'a: &a {x: 1}\nb: &b {y: 2}\nc:\n  <<: *a\n  <<: *b\n  z: 3\n';
  expect(read(text, true)).toMatchObject({ value: { c: { x: 1, y: 2, z: 3 } } });
  expect(read(text)).toMatchObject({ faults: [{ message: 'the key << is there twice' }] });
});
