import { batchStepsMax, stepDiffBytesMax, stepOutputMax, storableText } from '@fumehood/protocol';
import * as z from 'zod';

/** What a step has left, as `src batch exec` and upstream's helper report it. */
export interface ExecResult {
  readonly step: number;
  readonly skipped: boolean;
  /** Everything that the steps up to this one have changed, as `git diff --no-prefix --binary` says it. */
  readonly diff: Buffer;
  readonly stdout: string;
  readonly stderr: string;
  /** All outputs so far, by name. */
  readonly outputs: Readonly<Record<string, unknown>>;
}

/** What the log of an executor of upstream's kind says of the steps. */
export interface ExecReport {
  /** In the order of their steps; of several of one step the last one counts. */
  readonly results: readonly ExecResult[];
  /** The steps whose conditions were false, from 0. */
  readonly skipped: readonly number[];
  /** What is wrong with the first line that should be a result and is none; null: nothing. */
  readonly fault: string | null;
}

/**
 * The keys of the log entries that say what steps have left, as an expression of JavaScript and of PostgreSQL: all of `src batch exec`, in
 * several versions, or those of upstream's helper before a step (`pre`: whether it is skipped) and behind it (`post`: its result).
 */
export const execLogKeys =
  '^(?:step\\.src\\.(?:batch-exec|0)|(?:step\\.(?:docker|kubernetes)\\.)?step\\.([0-9]{1,3})\\.(pre|post))$';

/** Bytes of the longest line that may be a result: a diff in base64, with its outputs. */
const lineMax = 1.5 * stepDiffBytesMax;
/** Bytes of the log that are read, and lines that are looked at. */
const logMax = 2 ** 29;
const eventsMax = 10_000;
const newline = 10;
const operations = ['CACHE_AFTER_STEP_RESULT', 'TASK_STEP_SKIPPED'] as const;
/** How an executor marks the lines of an output, and how a line begins that is an event. */
const eventPattern = /^(?:stdout: )?(\{.*\})$/s;
const resultStart = /^(?:stdout: )?\{"operation":"CACHE_AFTER_STEP_RESULT"/;

const text = z.string().transform((value) => storableText(value.slice(0, stepOutputMax)));
const common = {
  stepIndex: z
    .int()
    .min(0)
    .max(batchStepsMax - 1),
  stdout: text,
  stderr: text,
  outputs: z
    .record(z.string(), z.unknown())
    .nullish()
    .transform((outputs) => outputs ?? {}),
  skipped: z.boolean().default(false),
};
const diffOf = (encoded: z.ZodType<string>, encoding: BufferEncoding) =>
  encoded
    .nullish()
    .transform((diff) => Buffer.from(diff ?? '', encoding))
    .refine((diff) => diff.length <= stepDiffBytesMax, `has more than ${stepDiffBytesMax} bytes`);
const eventSchema = z.discriminatedUnion('operation', [
  z.object({
    operation: z.literal('CACHE_AFTER_STEP_RESULT'),
    metadata: z.object({
      value: z.discriminatedUnion('version', [
        z.object({ version: z.literal(2), ...common, diff: diffOf(z.base64(), 'base64') }),
        z.object({ version: z.undefined().optional(), ...common, diff: diffOf(z.string(), 'utf8') }),
      ]),
    }),
  }),
  z.object({
    operation: z.literal('TASK_STEP_SKIPPED'),
    // It counts from 1.
    metadata: z.object({ step: z.int().min(1).max(batchStepsMax) }),
  }),
]);

/** Reads the log of an executor of upstream's kind, part by part. */
export interface ExecLogReader {
  /** Reads bytes of the entry with this key, one of `execLogKeys`. Returns false if no more is read: the log has too much. */
  readonly add: (key: string, chunk: Buffer) => boolean;
  readonly end: () => ExecReport;
}

/** Begins to read the log of an executor. Lines that are no events, and events of other operations, are passed over. */
export function readExecLog(): ExecLogReader {
  const results = new Map<number, ExecResult>();
  const skipped = new Set<number>();
  const lines = new Map<string, { held: Buffer[]; bytes: number }>();
  let fault: string | null = null;
  let read = 0;
  let events = 0;
  const take = (key: string, bytes: Buffer) => {
    events += 1;
    const [, speaker, phase] = new RegExp(execLogKeys).exec(key) ?? [];
    const event = eventOf(bytes);
    if (typeof event === 'string') fault ??= event;
    if (event === null || typeof event === 'string') return;
    const isResult = event.operation === 'CACHE_AFTER_STEP_RESULT';
    const step = isResult ? event.metadata.value.stepIndex : event.metadata.step - 1;
    // The helper speaks of one step: what it prints of another one, the step before it has put there.
    const isSpoken = speaker === undefined || (Number(speaker) === step && (phase === 'post') === isResult);
    if (!isSpoken) fault ??= `the log entry ${key} speaks of step ${step + 1}`;
    else if (!isResult) skipped.add(step);
    else {
      const { skipped: isSkipped, diff, stdout, stderr, outputs } = event.metadata.value;
      results.set(step, { step, skipped: isSkipped, diff, stdout, stderr, outputs });
    }
  };
  const endLine = (key: string) => {
    const { held = [], bytes = 0 } = lines.get(key) ?? {};
    lines.delete(key);
    if (bytes > lineMax) fault ??= `a line of its log has more than ${lineMax} bytes`;
    else take(key, Buffer.concat(held));
  };
  const hold = (key: string, part: Buffer) => {
    const line = lines.get(key) ?? { held: [], bytes: 0 };
    line.bytes += part.length;
    if (line.bytes <= lineMax) line.held.push(part);
    else line.held = [];
    lines.set(key, line);
  };
  return {
    add(key, chunk) {
      read += chunk.length;
      if (read > logMax) fault ??= `its log has more than ${logMax} bytes`;
      if (events > eventsMax) fault ??= `its log has more than ${eventsMax} events`;
      if (read > logMax || events > eventsMax) return false;
      const first = chunk.indexOf(newline);
      if (first < 0) hold(key, chunk);
      if (first < 0) return true;
      hold(key, chunk.subarray(0, first));
      endLine(key);
      const last = chunk.lastIndexOf(newline);
      for (const line of linesWithEvents(chunk.subarray(first + 1, last + 1))) take(key, line);
      hold(key, chunk.subarray(last + 1));
      return true;
    },
    end() {
      for (const key of [...lines.keys()]) endLine(key);
      return {
        results: [...results.values()].sort((a, b) => a.step - b.step),
        skipped: [...skipped].sort((a, b) => a - b),
        fault,
      };
    },
  };
}

/** Yields the lines that may be events. It does not look at each line: a log may have millions that are none. */
function* linesWithEvents(bytes: Buffer): Generator<Buffer> {
  for (let at = 0; ; ) {
    const found = operations
      .map((operation) => bytes.indexOf(`"${operation}"`, at))
      .filter((one) => one >= 0);
    if (found.length === 0) return;
    const mark = Math.min(...found);
    const end = bytes.indexOf(newline, mark);
    yield bytes.subarray(bytes.lastIndexOf(newline, mark) + 1, end);
    at = end + 1;
  }
}

/** Returns the event of a line; null: it is none that counts; a text: what is wrong with what should be a result. */
function eventOf(bytes: Buffer): z.output<typeof eventSchema> | string | null {
  if (!operations.some((operation) => bytes.includes(`"${operation}"`))) return null;
  const line = bytes.toString('utf8').trimEnd();
  const json = parseJson(eventPattern.exec(line)?.[1] ?? '');
  const event = eventSchema.safeParse(json);
  if (event.success) return event.data;
  if (!resultStart.test(line)) return null;
  const [issue] = event.error.issues;
  const why = json === null ? 'it is no JSON' : `${issue?.path.join('.')}: ${issue?.message}`;
  return `a result in its log cannot be read: ${why}`;
}

function parseJson(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return null;
  }
}
