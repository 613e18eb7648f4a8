import type { TestResult } from './report.ts';

/** A row of the table in docs/threat-model.md. */
export interface Row {
  readonly invariant: number;
  readonly hazard: string;
  /** The cell that names the tests: `file` "name"; … */
  readonly tests: string;
}

/** Returns the rows of the threat model's table. */
export function rowsOf(markdown: string): Row[] {
  return markdown
    .split('\n')
    .map((line) => line.split(' | ').map((cell) => cell.replace(/^\| | \|$/g, '').trim()))
    .filter((cells) => cells.length === 4 && /^\d/.test(cells[0] as string))
    .map(([invariant = '', hazard = '', , tests = '']) => ({
      invariant: Number.parseInt(invariant, 10),
      hazard,
      tests,
    }));
}

/** Returns the tests that a row names, as they are written: `%s` stands for a parameter. */
export function testsOf(cell: string): { file: string; name: string }[] {
  return [...cell.matchAll(/`([^`]+)` "([^"]+)"/g)].map(([, file = '', name = '']) => ({ file, name }));
}

/** Returns the call that declares the test of this name, up to the name (`test`, `it.skip`, …), or null. */
export function callOf(source: string, name: string): string | null {
  for (const quote of ["'", '"', '`']) {
    const written = `${quote}${quote === "'" ? name.replaceAll("'", "\\'") : name}${quote}`;
    const at = source.indexOf(written);
    if (at < 0) continue;
    const before = source.slice(0, at);
    const start = Math.max(...['test', 'it'].map((word) => lastCall(before, word)));
    return start < 0 ? null : (before.slice(start).split('(')[0] as string);
  }
  return null;
}

function lastCall(text: string, word: string): number {
  const found = [...text.matchAll(new RegExp(`^\\s*${word}\\b[.(]`, 'gm'))].at(-1);
  return found ? found.index : -1;
}

/**
 * Returns a sentence for each test of the threat model that a run skipped, whether by `skip`, by `skipIf` or by a `describe` around
 * it: a defence that this machine did not test. A test that is declared by `runIf` is one that only the night runs. A test that
 * `describe.each` repeats, as it does for each VMM, counts as run when one of its repetitions passed. `read` returns the text of a
 * test file.
 */
export function skippedDefences(
  markdown: string,
  results: readonly TestResult[],
  read: (file: string) => string,
): string[] {
  return rowsOf(markdown).flatMap(({ hazard, tests }) =>
    testsOf(tests)
      .filter(({ file, name }) => {
        const written = name.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&').replaceAll(/%[sdijo]/g, '.*');
        const pattern = new RegExp(`(?:^| > )(${written})$`, 's');
        /** The names, without those of the groups around them, of the results of this test that have this state. */
        const named = (state: TestResult['state']) =>
          results
            .filter((result) => result.file === file && result.state === state)
            .flatMap((result) => pattern.exec(result.name)?.[1] ?? []);
        const passed = new Set(named('passed'));
        const missed = named('skipped').some((own) => !passed.has(own));
        return missed && !callOf(read(file), name)?.endsWith('.runIf');
      })
      .map(({ name }) => `${hazard}: "${name}" was skipped; the gate has to run as root, with every device`),
  );
}
