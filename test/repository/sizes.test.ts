import { describe, expect, test } from 'vitest';
import { readTracked, trackedFiles } from './tracked.ts';

interface Size {
  readonly file: string;
  readonly lines: number;
}

const bounds = { median: 80, p90: 200, longest: 400 } as const;

/** Returns what is wrong with the sizes, with the longest files; null when they are within the bounds. */
function complaint(sizes: readonly Size[]): string | null {
  const sorted = sizes.toSorted((a, b) => b.lines - a.lines);
  const at = (share: number) => sorted[Math.floor((sorted.length - 1) * (1 - share))]?.lines ?? 0;
  const measured = { median: at(0.5), p90: at(0.9), longest: at(1) };
  const wrong = (Object.keys(bounds) as (keyof typeof bounds)[])
    .filter((name) => measured[name] > bounds[name])
    .map((name) => `${name}: ${measured[name]} lines, at most ${bounds[name]}`);
  if (wrong.length === 0) return null;
  const longest = sorted.slice(0, 10).map(({ file, lines }) => `  ${lines} ${file}`);
  return [...wrong, 'Split the longest files by what they do:', ...longest].join('\n');
}

test('source files are short', () => {
  const files = trackedFiles(/\.ts$/).filter((file) => !file.includes('/gen/'));
  expect(files.length).toBeGreaterThan(400);
  const sizes = files.map((file) => ({ file, lines: readTracked(file).split('\n').length - 1 }));
  expect(complaint(sizes)).toBeNull();
});

describe('the check', () => {
  const sizes = (...lines: number[]) => lines.map((count, at) => ({ file: `${at}.ts`, lines: count }));

  test.each([
    ['a file that is too long', [...Array(100).fill(50), 401], 'longest: 401 lines'],
    ['too many long files', [...Array(80).fill(50), ...Array(20).fill(201)], 'p90: 201 lines'],
    ['files that are long on the whole', Array(10).fill(81), 'median: 81 lines'],
  ])('complains about %s, and names the longest', (_, lines, expected) => {
    const text = complaint(sizes(...(lines as number[])));
    expect(text).toContain(expected);
    expect(text).toContain(`${Math.max(...(lines as number[]))} `);
  });

  test('accepts sizes at the bounds', () => {
    expect(complaint(sizes(...Array(50).fill(80), ...Array(41).fill(200), ...Array(9).fill(400)))).toContain(
      'median',
    );
    expect(complaint(sizes(...Array(51).fill(80), ...Array(40).fill(200), ...Array(9).fill(400)))).toBeNull();
  });
});
