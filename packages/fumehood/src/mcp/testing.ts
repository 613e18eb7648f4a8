import type { CodeSource } from './server.ts';

/** Writes into the clipboard of the terminal, turns text around, and forges a line. */
const evil = 'x\x1b]52;c;aGVsbG8=\x07\x9b31m\u202e\r\nforged';
const commit = 'c'.repeat(40);
const answer = { repository: 'acme/greeter', commit, precision: 'exact', indexedCommit: commit };
const range = { line: 4, character: 10, endLine: 4, endCharacter: 17 };
const location = {
  ...{ repository: 'acme/greeter', commit, path: 'src/main.ts', ...range },
  ...{ symbol: 's', upload: 1, package: null },
};

/** A request to the instance, as it was asked. */
export type Asked = readonly [question: string, query: unknown];

/** Makes an instance that answers every question, and records what it was asked. */
export function testSource(asked: Asked[] = []): CodeSource {
  const reply = (question: string, found: object) => async (query: unknown) => {
    asked.push([question, query]);
    return found;
  };
  return {
    repositories: {
      list: async () =>
        ['b/two', 'a/one', 'b/one'].map((name) => ({
          ...{ name, branch: 'refs/heads/main', commit, syncedAt: '2026-01-01T00:00:00.000Z' },
        })),
    },
    code: {
      definition: reply('definition', { ...answer, locations: [location], next: null }),
      references: reply('references', { ...answer, precision: 'guess', locations: [location], next: 'abc' }),
      implementations: reply('implementations', { ...answer, locations: [], next: null }),
      callers: reply('callers', {
        ...answer,
        callers: [{ at: location, caller: { ...location, name: 'run' } }],
        next: null,
      }),
      hover: reply('hover', { ...answer, hover: { symbol: evil, text: evil.repeat(2_000), range } }),
      symbols: reply('symbols', {
        ...answer,
        symbols: Array.from({ length: 120 }, (_, line) => ({
          ...{ ...range, line, name: evil.repeat(100), kind: 'type', symbol: evil.repeat(1_000) },
        })),
      }),
    },
  } as unknown as CodeSource;
}
