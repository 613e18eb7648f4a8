import type { SymbolInformation } from '@fumehood/scip';
import { expect, test } from 'vitest';
import { ExternalSymbols } from './externals.ts';

const information = (symbol: string, text: string) =>
  ({ symbol, documentation: [text], relationships: [] }) as unknown as SymbolInformation;
const documents = (symbols: readonly SymbolInformation[]) => {
  const externals = new ExternalSymbols();
  for (const one of symbols) externals.add(one);
  return [...externals.documents()];
};
const hashes = (symbols: readonly SymbolInformation[]) =>
  documents(symbols).map(({ sha256 }) => sha256.toString('hex'));

test('what two indexes say alike of a package is the same document, in whatever order they say it', () => {
  const [a, b, c] = ['s m one 1 a.', 's m one 1 b.', 's m two 1 c.'].map((symbol) =>
    information(symbol, symbol),
  );
  const first = hashes([a, b, c] as SymbolInformation[]);
  const second = hashes([b, information('s m two 1 c.', 'other'), a] as SymbolInformation[]);
  expect(first).toHaveLength(2);
  expect(second).toContain(first[0]);
  expect(second).not.toContain(first[1]);
});

test('an index that says much of other projects has the beginning of it stored, in documents of bounded size', () => {
  const text = 'x'.repeat(2 ** 20);
  const large = documents(Array.from({ length: 40 }, (_, n) => information(`s m p 1 x${n}.`, text)));
  expect(large.flatMap(({ uses }) => uses)).toHaveLength(31);
  const many = documents(Array.from({ length: 1_100 }, (_, n) => information(`s m p 1 x${n}.`, 'x')));
  expect(many.map(({ uses }) => uses.length)).toEqual([500, 500, 100]);
});
