import { writeFileSync } from 'node:fs';
import { relative } from 'node:path';
import type { Reporter, TestCase, TestModule } from 'vitest/node';
import { type Results, type TestResult, wholeFile } from './ci/report.ts';

/**
 * Ends a run with the one line that CI counts: `N passed, N failed` (and `, N skipped` where there are some). Writes each test's
 * result and time to the file that FUMEHOOD_RESULTS names.
 */
export default class ClosingLine implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], errors: readonly unknown[]): void {
    const tests = modules.flatMap(resultsOf);
    const count = (state: TestResult['state']) => tests.filter((test) => test.state === state).length;
    const results: Results = { tests, errors: errors.length };
    if (process.env.FUMEHOOD_RESULTS) writeFileSync(process.env.FUMEHOOD_RESULTS, JSON.stringify(results));
    const skipped = count('skipped');
    const failed = count('failed') + errors.length;
    console.log(`${count('passed')} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
  }
}

function resultsOf(module: TestModule): TestResult[] {
  const file = relative(process.cwd(), module.moduleId);
  const tests = [...module.children.allTests()].map((test) => ({
    file,
    name: test.fullName,
    state: stateOf(test),
    ms: test.diagnostic()?.duration ?? 0,
  }));
  // A file that failed outside of its tests: it could not be imported, or a hook of it failed.
  if (module.state() !== 'failed' || tests.some(({ state }) => state === 'failed')) return tests;
  return [...tests, { file, name: wholeFile, state: 'failed', ms: module.diagnostic().duration }];
}

function stateOf(test: TestCase): TestResult['state'] {
  const { state } = test.result();
  return state === 'pending' ? 'skipped' : state;
}
