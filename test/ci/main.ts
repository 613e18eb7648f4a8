import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { closingLines, judge, type Results, type SliceResult } from './report.ts';
import { type Slice, suites } from './slices.ts';
import { skippedDefences } from './threat-model.ts';

/**
 * Runs the gate or the night: `node test/ci/main.ts gate`. Exits with 0 if no test failed and, at night, no test was flaky.
 * The last line is `N passed, N failed`.
 */
const [suite = ''] = process.argv.slice(2);
const slices = suites[suite];
if (!slices) throw new TypeError(`there is no suite ${suite}: name one of ${Object.keys(suites).join(', ')}`);

const directory = mkdtempSync(join(tmpdir(), 'fumehood-ci-'));
/** The process group of the slice that runs. */
let currentGroup: number | undefined;
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.on(name, () => {
    killGroup(currentGroup, 'SIGTERM');
    process.exit(1);
  });

try {
  const results: SliceResult[] = [];
  for (const slice of slices) results.push(await runSlice(slice));
  const read = (file: string) => readFileSync(join(import.meta.dirname, '../..', file), 'utf8');
  const tests = results.flatMap((result) => result.tests);
  const failures = skippedDefences(read('docs/threat-model.md'), tests, read);
  results.push({ name: 'threat model', seconds: 0, tests: [], failures, flaky: [] });
  const lines = closingLines(results);
  console.log(lines.join('\n'));
  const count = (of: 'failures' | 'flaky') => results.reduce((sum, result) => sum + result[of].length, 0);
  process.exitCode = count('failures') > 0 || (suite === 'night' && count('flaky') > 0) ? 1 : 0;
} finally {
  rmSync(directory, { recursive: true, force: true });
}

async function runSlice(slice: Slice): Promise<SliceResult> {
  console.log(`== ${slice.name} (at most ${slice.minutes} minutes)`);
  const startedAt = performance.now();
  const seconds = () => (performance.now() - startedAt) / 1_000;
  const endAt = startedAt + slice.minutes * 60_000;
  const first = await run(slice, slice.command, endAt);
  if (typeof first === 'string')
    return { name: slice.name, seconds: seconds(), tests: [], failures: [first], flaky: [] };
  const files = new Set(first.tests.filter(({ state }) => state === 'failed').map(({ file }) => file));
  if (files.size === 0) return judge(slice.name, seconds(), first, null);
  console.log(`== ${slice.name}: running the failed files once more: ${[...files].join(' ')}`);
  const projects = slice.projects.flatMap((name) => ['--project', name]);
  const second = await run(slice, ['npx', 'vitest', 'run', ...projects, ...files], endAt);
  return judge(slice.name, seconds(), first, typeof second === 'string' ? null : second);
}

/** Runs a command that runs vitest. Returns the results, or a sentence that says why there are none. */
async function run(
  slice: Slice,
  [program = '', ...args]: readonly string[],
  endAt: number,
): Promise<Results | string> {
  const file = join(directory, 'results.json');
  rmSync(file, { force: true });
  const child = spawn(program, args, {
    stdio: ['ignore', 'inherit', 'inherit'],
    detached: true,
    env: { ...process.env, ...slice.env, FUMEHOOD_RESULTS: file },
  });
  currentGroup = child.pid;
  let late = false;
  const timers = [0, 30_000].map((after) =>
    setTimeout(
      () => {
        late = true;
        killGroup(child.pid, after === 0 ? 'SIGTERM' : 'SIGKILL');
      },
      endAt - performance.now() + after,
    ),
  );
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', resolve);
  });
  for (const timer of timers) clearTimeout(timer);
  currentGroup = undefined;
  if (late) return `it did not end within ${slice.minutes} minutes`;
  try {
    const results = JSON.parse(readFileSync(file, 'utf8')) as Results;
    if (code === 0 || results.errors > 0 || results.tests.some(({ state }) => state === 'failed'))
      return results;
    return `it ended with ${code}, although no test failed`;
  } catch {
    return `it ended with ${code} and left no results`;
  }
}

function killGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  try {
    if (pid !== undefined) process.kill(-pid, signal);
  } catch {
    // The group has ended by itself.
  }
}
