import { expect, test } from 'vitest';
import { readExecResults } from './exec-results.ts';

const event = (value: object, operation = 'CACHE_AFTER_STEP_RESULT') =>
  JSON.stringify({
    operation,
    timestamp: '2026-01-02T03:04:05.678Z',
    status: 'SUCCESS',
    metadata: { key: 'k', value },
  });
const none = { changedFiles: { modified: null, added: null, deleted: null, renamed: null }, outputs: null };
const diff = 'diff --git a.txt a.txt\nnew file mode 100644\n--- /dev/null\n+++ a.txt\n@@ -0,0 +1 @@\n+ä\n';
const first = { ...none, stdout: 'said\n', stderr: '', stepIndex: 0, diff };
const second = {
  ...none,
  ...{ version: 2, stdout: '', stderr: 'told', stepIndex: 1, diff: Buffer.from(diff).toString('base64') },
  ...{ outputs: { list: ['a', 1], text: 'x' }, skipped: false },
};

function read(log: string, size = log.length): unknown[] {
  const reader = readExecResults();
  const bytes = Buffer.from(log);
  for (let at = 0; at < bytes.length; at += size) reader.add(bytes.subarray(at, at + size));
  return reader.end();
}

const results = [
  { step: 0, skipped: false, diff: Buffer.from(diff), stdout: 'said\n', stderr: '', outputs: {} },
  {
    ...{ step: 1, skipped: false, diff: Buffer.from(diff), stdout: '', stderr: 'told' },
    outputs: { list: ['a', 1], text: 'x' },
  },
];

test.each([
  ['as src writes them', ''],
  ['as an executor marks its output', 'stdout: '],
])('results are found among other lines, %s, in both forms', (_, prefix) => {
  const lines = ['pulling', event({}, 'EXECUTING_TASK'), event(first), 'stderr: {"operation', event(second)];
  const log = lines.map((line) => `${prefix}${line}\n`).join('');
  expect(read(log)).toEqual(results);
  for (const size of [1, 7, 64]) expect(read(log, size)).toEqual(results);
});

test('the last result of a step counts, also without a newline at its end', () => {
  const later = { ...first, stdout: 'later' };
  expect(read(`${event(second)}\n${event(first)}\n${event(later)}`)).toEqual([
    { ...results[0], stdout: 'later' },
    results[1],
  ]);
});

test('an empty diff is no diff, and a skipped step has its place', () => {
  const skipped = { ...second, diff: null, skipped: true };
  expect(read(event(skipped))).toMatchObject([{ step: 1, skipped: true, diff: Buffer.alloc(0) }]);
});

test.each([
  ['no JSON', '{"operation":"CACHE_AFTER_STEP_RESULT"'],
  ['a step below 0', event({ ...first, stepIndex: -1 })],
  ['a step beyond all', event({ ...first, stepIndex: 1_000 })],
  ['a diff that is not base64', event({ ...second, diff: '%%' })],
  ['another version', event({ ...second, version: 3 })],
  ['a line of a step that names the operation', 'stderr: {"CACHE_AFTER_STEP_RESULT": 1}'],
  ['what is too long', event({ ...first, diff: 'x'.repeat(129 * 2 ** 20) })],
])('%s is no result', (_, line) => {
  expect(read(`${line}\n`, 1 << 20)).toEqual([]);
});
