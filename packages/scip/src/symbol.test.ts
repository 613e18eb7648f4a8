import { expect, test } from 'vitest';
import { descriptorOf, packageOf } from './symbol.ts';

const prefix = 'scip-typescript npm @acme/greeter 0.3.1 ';

test.each([
  ['src/`model.ts`/Greeter#', 'Greeter', 'type'],
  ['src/`model.ts`/Greeter#greet().', 'greet', 'method'],
  ['src/`model.ts`/Greeter#greet(+1).', 'greet', 'method'],
  ['src/`model.ts`/Greeter#greet().(name)', 'name', 'parameter'],
  ['src/`model.ts`/Greeter#[T]', 'T', 'type parameter'],
  ['src/`text.ts`/shout.', 'shout', 'term'],
  ['src/`text.ts`/', 'text.ts', 'namespace'],
  ['src/`a``b`.', 'a`b', 'term'],
  ['src/`text.ts`/English#`<constructor>`().', '<constructor>', 'method'],
])('%s is named and has a kind', (descriptors, name, kind) => {
  expect(descriptorOf(prefix + descriptors)).toEqual({ name, kind });
});

test('a symbol of one document, and one that is none, have no descriptor', () => {
  for (const symbol of ['local 4', '', '`', 'a b c d ``', 'x']) expect(descriptorOf(symbol)).toBeNull();
});

test('a symbol says which version of which package it is of, or none', () => {
  expect(packageOf(`${prefix}a.`)).toEqual({ manager: 'npm', name: '@acme/greeter', version: '0.3.1' });
  expect(packageOf('s m a  b 1 x.')).toEqual({ manager: 'm', name: 'a b', version: '1' });
  for (const symbol of ['local 4', 'scip-typescript npm . . a.', 's m name . a.', 's m', ''])
    expect(packageOf(symbol)).toBeNull();
});
