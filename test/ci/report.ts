/** The results of a vitest run, as test/reporter.ts writes them. */
export interface Results {
  readonly tests: readonly TestResult[];
  /** The number of errors outside of tests. */
  readonly errors: number;
}

export interface TestResult {
  readonly file: string;
  readonly name: string;
  readonly state: 'passed' | 'failed' | 'skipped';
  readonly ms: number;
}

/** The result of a slice. */
export interface SliceResult {
  readonly name: string;
  readonly seconds: number;
  readonly tests: readonly TestResult[];
  /** Tests that failed twice, or the reason why the slice has no results. */
  readonly failures: readonly string[];
  /** Tests that failed and passed in the second run. */
  readonly flaky: readonly string[];
}

/**
 * Returns the result of a slice from its run and, if a file failed, from the second run of the failed files (null: there was
 * none). A test that failed first is flaky if it passed in the second run, and has failed otherwise.
 */
export function judge(name: string, seconds: number, first: Results, second: Results | null): SliceResult {
  const key = ({ file, name: test }: TestResult) => `${file} > ${test}`;
  const secondStates = new Map((second?.tests ?? []).map((test) => [key(test), test.state]));
  const failed = first.tests.filter(({ state }) => state === 'failed').map(key);
  const flaky = failed.filter(
    (test) => secondStates.get(test) === 'passed' || (isFile(test) && filePassed(test, second)),
  );
  const failedAnew = [...secondStates].filter(
    ([test, state]) => state === 'failed' && !failed.includes(test),
  );
  const errors = first.errors + (second?.errors ?? 0);
  return {
    name,
    seconds,
    tests: first.tests,
    failures: [
      ...failed.filter((test) => !flaky.includes(test)),
      ...failedAnew.map(([test]) => test),
      ...(errors > 0 ? [`${errors} errors outside of tests`] : []),
    ],
    flaky,
  };
}

/** The name of the pretended test of a file that failed outside of its tests, for example in an import. */
export const wholeFile = '(the file as a whole)';
const isFile = (test: string) => test.endsWith(`> ${wholeFile}`);
/** Returns whether every test of the file passed or was skipped in the second run. */
function filePassed(name: string, second: Results | null): boolean {
  const file = name.slice(0, -` > ${wholeFile}`.length);
  const tests = second?.tests.filter((test) => test.file === file) ?? [];
  return tests.length > 0 && tests.every(({ state }) => state !== 'failed');
}

/** Returns the closing lines: the slowest tests, each slice's time, flaky tests, failed tests, and `N passed, N failed` last. */
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
