/** What test/reporter.ts writes of a vitest run. */
export interface Results {
  readonly tests: readonly TestResult[];
  /** How many errors belong to no test. */
  readonly errors: number;
}

export interface TestResult {
  readonly file: string;
  readonly name: string;
  readonly state: 'passed' | 'failed' | 'skipped';
  readonly ms: number;
}

/** What became of a slice. */
export interface SliceResult {
  readonly name: string;
  readonly seconds: number;
  readonly tests: readonly TestResult[];
  /** Tests that failed, and failed again; or why the slice has no result. */
  readonly failures: readonly string[];
  /** Tests that failed, and passed on the second try. */
  readonly flaky: readonly string[];
}

/**
 * Judges a slice by its run and, where a file failed, the second run of the failed files (null: none was made). A test that
 * passed in the second run is flaky; one that did not pass there has failed.
 */
export function judge(name: string, seconds: number, first: Results, second: Results | null): SliceResult {
  const key = ({ file, name: test }: TestResult) => `${file} > ${test}`;
  const again = new Map((second?.tests ?? []).map((test) => [key(test), test.state]));
  const failed = first.tests.filter(({ state }) => state === 'failed').map(key);
  const flaky = failed.filter(
    (test) => again.get(test) === 'passed' || (isFile(test) && fileIsFine(test, second)),
  );
  const failedAnew = [...again].filter(([test, state]) => state === 'failed' && !failed.includes(test));
  const errors = first.errors + (second?.errors ?? 0);
  return {
    name,
    seconds,
    tests: first.tests,
    failures: [
      ...failed.filter((test) => !flaky.includes(test)),
      ...failedAnew.map(([test]) => test),
      ...(errors > 0 ? [`${errors} errors that belong to no test`] : []),
    ],
    flaky,
  };
}

/** The name of a test that stands for a file that failed as a whole, as when it could not be imported. */
export const wholeFile = '(the file as a whole)';
const isFile = (test: string) => test.endsWith(`> ${wholeFile}`);
function fileIsFine(test: string, second: Results | null): boolean {
  const file = test.slice(0, -` > ${wholeFile}`.length);
  const its = second?.tests.filter((one) => one.file === file) ?? [];
  return its.length > 0 && its.every(({ state }) => state !== 'failed');
}

/** The closing lines: the slowest tests, each slice's time, what was flaky, what failed, and `N passed, N failed` as the last. */
export function closingLines(slices: readonly SliceResult[]): string[] {
  const tests = slices.flatMap((slice) => slice.tests.map((test) => ({ slice: slice.name, ...test })));
  const slowest = tests.toSorted((a, b) => b.ms - a.ms).slice(0, 30);
  const flaky = slices.flatMap((slice) => slice.flaky.map((test) => `flaky: ${slice.name}: ${test}`));
  const failures = slices.flatMap((slice) => slice.failures.map((test) => `failed: ${slice.name}: ${test}`));
  const passedOf = (slice: SliceResult) =>
    slice.tests.filter(({ state }) => state === 'passed').length + slice.flaky.length;
  const time = (seconds: number) => `${seconds.toFixed(1).padStart(8)} s`;
  const total = slices.reduce((sum, { seconds }) => sum + seconds, 0);
  const passed = slices.reduce((sum, slice) => sum + passedOf(slice), 0);
  return [
    'the 30 slowest tests:',
    ...slowest.map(({ slice, file, name, ms }) => `${time(ms / 1_000)}  ${slice}: ${file} > ${name}`),
    'the slices:',
    ...slices.map(
      (slice) =>
        `${time(slice.seconds)}  ${slice.name}: ${passedOf(slice)} passed, ${slice.failures.length} failed, ${slice.flaky.length} flaky`,
    ),
    `${time(total)}  in all`,
    ...flaky,
    ...(flaky.length > 0 ? [`${flaky.length} flaky`] : []),
    ...failures,
    `${passed} passed, ${failures.length} failed`,
  ];
}
