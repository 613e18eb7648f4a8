import type { LogEntry } from '@fumehood/protocol';

/** The end of the output of a phase that failed. */
export interface FailedPhase {
  readonly attempt: number;
  readonly key: string;
  readonly exitCode: number | null;
  /** Its last lines. */
  readonly lines: readonly string[];
}

/** Keeps the end of each phase's output: where a job fails, it says why. */
export interface PhaseEnds {
  /** Takes output of a phase. */
  add(entry: LogEntry, bytes: Uint8Array): void;
  /** Returns the end of a phase that has failed; null for any other. */
  failed(entry: LogEntry): FailedPhase | null;
}

/** How much is kept of a phase: at most this many bytes, and then lines. */
export const keptBytes = 4_096;
const keptLines = 10;

/** Starts to keep the ends of the phases of one job. */
export function phaseEnds(): PhaseEnds {
  const kept = new Map<string, Buffer>();
  const nameOf = ({ attempt, entry }: LogEntry) => `${attempt}.${entry}`;
  return {
    add(entry, bytes) {
      const name = nameOf(entry);
      const all = Buffer.concat([kept.get(name) ?? Buffer.alloc(0), bytes.subarray(-keptBytes)]);
      kept.set(name, all.subarray(-keptBytes));
    },
    failed(entry) {
      const { attempt, key, durationMs, exitCode } = entry;
      if (durationMs === null || exitCode === 0) return null;
      const text = kept.get(nameOf(entry))?.toString().trimEnd() ?? '';
      const lines = text === '' ? [] : text.split(/\r?\n/).slice(-keptLines);
      return { attempt, key, exitCode, lines: lines.map((line) => line.replaceAll('\t', '  ')) };
    },
  };
}

/** Returns what the instance dropped of an ended phase's output, as a line; null if it has all of it. */
export function droppedLine({ attempt, key, durationMs, droppedBytes }: LogEntry): string | null {
  if (durationMs === null || !droppedBytes) return null;
  const parts = (['stdout', 'stderr'] as const).filter((stream) => droppedBytes[stream] > 0);
  const what = parts.map((stream) => `${droppedBytes[stream]} bytes of ${stream}`).join(' and ');
  return `attempt ${attempt}: the end of the output of ${key} is missing: the instance dropped ${what}, because it keeps a limited part of each stream`;
}

/** Whether a phase is a step, whose output is the output of the job. */
export function isStep({ key }: { readonly key: string }): boolean {
  return key.startsWith('step.');
}

/** Lays out the end of a failed phase: what failed, then its last lines. */
export function failedPhaseLines({ attempt, key, exitCode, lines }: FailedPhase): string[] {
  const what = `attempt ${attempt}: ${key} ended with ${exitCode}`;
  return lines.length === 0 ? [what] : [`${what}; its last lines:`, ...lines.map((line) => `  ${line}`)];
}
