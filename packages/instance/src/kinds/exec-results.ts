import { batchStepsMax, stepDiffBytesMax, stepOutputMax, storableText } from '@fumehood/protocol';
import * as z from 'zod';

/** What a step has left, as `src batch exec` reports it. */
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

/** Characters of the longest line that may be a result: a diff in base64, with its outputs. */
const lineMax = 1.5 * stepDiffBytesMax;
/** How an executor marks the lines of an output, and how a line begins that is a result. */
const resultPattern = /^(?:stdout: )?(\{.*"CACHE_AFTER_STEP_RESULT".*)$/;

const text = z.string().transform((value) => storableText(value.slice(0, stepOutputMax)));
const common = {
  stepIndex: z
    .int()
    .min(0)
    .max(batchStepsMax - 1),
  stdout: text,
  stderr: text,
  outputs: z
    .record(z.string(), z.json())
    .nullish()
    .transform((outputs) => outputs ?? {}),
  skipped: z.boolean().default(false),
};
const eventSchema = z.object({
  operation: z.literal('CACHE_AFTER_STEP_RESULT'),
  metadata: z.object({
    value: z.union([
      z.object({
        version: z.literal(2),
        ...common,
        diff: z
          .base64()
          .nullish()
          .transform((diff) => Buffer.from(diff ?? '', 'base64')),
      }),
      z.object({
        version: z.undefined().optional(),
        ...common,
        diff: z
          .string()
          .nullish()
          .transform((diff) => Buffer.from(diff ?? '')),
      }),
    ]),
  }),
});

/** Reads results out of the log of `src batch exec`, part by part. Other lines, and results that are none or too large, are left out. */
export interface ExecResultReader {
  readonly add: (chunk: Buffer) => void;
  /** Returns the results in the order of their steps; of several of one step the last one counts. */
  readonly end: () => ExecResult[];
}

/** Begins to read results. */
export function readExecResults(): ExecResultReader {
  const results = new Map<number, ExecResult>();
  let held: Buffer[] = [];
  let bytes = 0;
  const take = () => {
    const line = bytes > lineMax ? '' : Buffer.concat(held).toString('utf8');
    held = [];
    bytes = 0;
    const result = resultOf(line);
    if (result) results.set(result.step, result);
  };
  return {
    add(chunk) {
      for (let at = 0; at < chunk.length; ) {
        const newline = chunk.indexOf(10, at);
        const part = chunk.subarray(at, newline < 0 ? chunk.length : newline);
        bytes += part.length;
        if (bytes <= lineMax) held.push(part);
        else held = [];
        if (newline < 0) return;
        take();
        at = newline + 1;
      }
    },
    end() {
      take();
      return [...results.values()].sort((a, b) => a.step - b.step);
    },
  };
}

function resultOf(line: string): ExecResult | null {
  const [, json] = resultPattern.exec(line.trimEnd()) ?? [];
  if (json === undefined) return null;
  const event = eventSchema.safeParse(parseJson(json));
  if (!event.success) return null;
  const { stepIndex: step, skipped, diff, stdout, stderr, outputs } = event.data.metadata.value;
  return diff.length > stepDiffBytesMax ? null : { step, skipped, diff, stdout, stderr, outputs };
}

function parseJson(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return null;
  }
}
