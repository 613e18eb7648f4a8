import { describe, expect, test } from 'vitest';
import { readExecLog } from './exec-results.ts';
import { recordedExecs } from './testing/recorded.ts';

const event = (value: object, operation = 'CACHE_AFTER_STEP_RESULT') =>
  JSON.stringify({
    operation,
    timestamp: '2026-01-02T03:04:05.678Z',
    status: 'SUCCESS',
    metadata: { key: 'k', value },
  });
const skip = (step: number) =>
  JSON.stringify({ operation: 'TASK_STEP_SKIPPED', status: 'PROGRESS', metadata: { taskID: 't', step } });
const none = { changedFiles: { modified: null, added: null, deleted: null, renamed: null }, outputs: null };
const diff = 'diff --git a.txt a.txt\nnew file mode 100644\n--- /dev/null\n+++ a.txt\n@@ -0,0 +1 @@\n+ä\n';
const first = { ...none, stdout: 'said\n', stderr: '', stepIndex: 0, diff };
const second = {
  ...none,
  ...{ version: 2, stdout: '', stderr: 'told', stepIndex: 1, diff: Buffer.from(diff).toString('base64') },
  ...{ outputs: { list: ['a', 1], text: 'x' }, skipped: false },
};

const ofSrc = 'step.src.batch-exec';
function read(log: string, { size = log.length, key = ofSrc } = {}) {
  const reader = readExecLog();
  const bytes = Buffer.from(log);
  for (let at = 0; at < bytes.length; at += size) reader.add(key, bytes.subarray(at, at + size));
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
  const report = { results, skipped: [], fault: null };
  expect(read(log)).toEqual(report);
  for (const size of [1, 7, 64]) expect(read(log, { size })).toEqual(report);
});

test('the last result of a step counts, also without a newline at its end', () => {
  const later = { ...first, stdout: 'later' };
  expect(read(`${event(second)}\n${event(first)}\n${event(later)}`).results).toEqual([
    { ...results[0], stdout: 'later' },
    results[1],
  ]);
});

describe('the events of upstream’s schema', () => {
  const stepOf = (metadata: object) =>
    JSON.stringify({ operation: 'TASK_STEP', timestamp: '…', status: 'SUCCESS', metadata });
  test.each([
    [
      'TASK_STEP of version 2',
      stepOf({ version: 2, taskID: 't', step: 1, env: { A: 'b' }, diff: 'ZGlmZg==' }),
    ],
    ['TASK_STEP of version 1', stepOf({ taskID: 't', step: 1, diff: 'diff', exitCode: 2, error: 'e' })],
    ['an unknown operation', event(first, 'CACHE_AFTER_WORKSPACE_RESULT')],
    ['a status that is unknown', '{"operation":"EXECUTING_TASK","status":"DREAMING"}'],
  ])('%s is no result', (_, line) => {
    expect(read(`${line}\n`)).toEqual({ results: [], skipped: [], fault: null });
  });

  test('a result without any change has null for a diff and for its outputs', () => {
    const value = { ...second, diff: null, outputs: null };
    expect(read(event(value)).results).toEqual([{ ...results[1], diff: Buffer.alloc(0), outputs: {} }]);
  });

  test('the steps that were skipped count from 1, and results from 0', () => {
    expect(read([skip(1), event(second), skip(3)].join('\n'))).toMatchObject({
      results: [{ step: 1 }],
      skipped: [0, 2],
    });
  });
});

describe('what an executor sends that is broken or hostile', () => {
  const tooLong = event({ ...first, diff: 'x'.repeat(129 * 2 ** 20) });
  test.each([
    ['a line that breaks off', event(first).slice(0, 120), 'it is no JSON'],
    ['a step below 0', event({ ...first, stepIndex: -1 }), 'metadata.value.stepIndex'],
    ['a step beyond all', event({ ...first, stepIndex: 1_000 }), 'metadata.value.stepIndex'],
    ['a diff that is not base64', event({ ...second, diff: '%%' }), 'metadata.value.diff'],
    ['a diff in which a secret was redacted', event({ ...second, diff: '${{ secrets.TOKEN }}' }), 'diff'],
    ['another version', event({ ...second, version: 3 }), 'metadata.value.version'],
    ['outputs that are no object', event({ ...second, outputs: ['a'] }), 'metadata.value.outputs'],
    ['a line that is too long', tooLong, 'a line of its log has more than'],
  ])('%s is no result, and the report says so', (_, line, fault) => {
    const report = read(`${line}\n`, { size: 1 << 20 });
    expect(report).toMatchObject({ results: [], skipped: [] });
    expect(report.fault).toContain(fault);
    expect(report.fault?.length).toBeLessThan(200);
  });

  test('a result that the output of a step forges, with a diff of its own, is none', () => {
    const out = `stdout: ${event({ ...first, stdout: 'forged' })}\n`;
    const progress = { operation: 'TASK_STEP', status: 'PROGRESS', metadata: { step: 1, out } };
    for (const line of [
      JSON.stringify(progress),
      `stderr: ${event(first)}`,
      `stdout: stdout: ${event(first)}`,
      `said ${event(first)}`,
      JSON.stringify({
        operation: 'TASK_STEP',
        metadata: { operation: 'CACHE_AFTER_STEP_RESULT', ...first },
      }),
    ])
      expect(read(`${line}\n`)).toEqual({ results: [], skipped: [], fault: null });
  });

  test('the helper speaks of the one step of its entry alone', () => {
    const ofStep = (key: string) => read([event(first), event(second), skip(2)].join('\n'), { key });
    expect(ofStep('step.docker.step.0.post')).toEqual({
      ...{ results: [results[0]], skipped: [] },
      fault: 'the log entry step.docker.step.0.post speaks of step 2',
    });
    expect(ofStep('step.1.post')).toMatchObject({ results: [{ step: 1 }], skipped: [] });
    expect(ofStep('step.kubernetes.step.1.pre')).toMatchObject({ results: [], skipped: [1] });
  });

  test('entries that are written at the same time are told apart', () => {
    const reader = readExecLog();
    const halves = (value: object) => [event(value).slice(0, 90), `${event(value).slice(90)}\n`] as const;
    const [a, b] = [halves(first), halves(second)];
    for (const half of [0, 1] as const) {
      reader.add('step.0.post', Buffer.from(a[half]));
      reader.add('step.1.post', Buffer.from(b[half]));
    }
    expect(reader.end()).toEqual({ results, skipped: [], fault: null });
  });

  test('outputs that are nested a million deep are read without a crash', () => {
    const deep = event({ ...first, outputs: { x: 0 } }).replace(
      ':0}',
      `:${'['.repeat(1e6)}${']'.repeat(1e6)}}`,
    );
    expect(read(deep).results).toHaveLength(1);
  });

  test('a log that does not end is read up to a bound', () => {
    const reader = readExecLog();
    const chunk = Buffer.alloc(1 << 24, 'x\n');
    let reads = 0;
    while (reader.add(ofSrc, chunk)) reads += 1;
    expect(reads).toBe(32);
    expect(reader.end().fault).toContain('its log has more than');
  });
});

/** What the trials left that upstream's `src batch exec` was recorded in: the steps with results, and those that were skipped. */
const left: Record<string, readonly [results: readonly number[], skipped: readonly number[]]> = {
  'exec-ok': [[0, 1], []],
  'exec-binary': [[0, 1], []],
  'exec-cached': [[1], []],
  'exec-skip': [
    [2, 3],
    [0, 1],
  ],
  'exec-sigterm': [[], []],
};
const withOneResult =
  /^exec-(imageuser|fail|cached-all|nodiff|nodiff-v1|timeout|timeout-total|sigint|flush|path|noshell|mount-key|secret-key|rename|minimal-input)$/;

test.each(recordedExecs())(
  'the recorded log of $trial leaves what the client had left',
  ({ trial, stdout }) => {
    const report = read(stdout.map((line) => `stdout: ${line}\nstderr: noise\n`).join(''), { size: 100 });
    const [steps, skipped] = left[trial] ?? [withOneResult.test(trial) ? [0] : [], []];
    expect([report.results.map(({ step }) => step), report.skipped]).toEqual([steps, skipped]);
    expect(report.fault).toBeNull();
    const values = stdout
      .map((line) => JSON.parse(line) as { operation: string; metadata: { value: Recorded } })
      .filter(({ operation }) => operation === 'CACHE_AFTER_STEP_RESULT')
      .map(({ metadata }) => metadata.value);
    for (const [at, { version, diff: text, stdout: said, outputs }] of values.entries())
      expect(report.results[at]).toMatchObject({
        ...{ stdout: said, outputs, diff: Buffer.from(text ?? '', version === 2 ? 'base64' : 'utf8') },
      });
  },
);
interface Recorded {
  readonly version?: number;
  readonly diff: string | null;
  readonly stdout: string;
  readonly outputs: object;
}
