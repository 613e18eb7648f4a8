/** One measurement, as it was. */
export interface Sample {
  readonly scenario: string;
  /** The column that it belongs to, with its unit. */
  readonly metric: string;
  readonly contender: string;
  readonly round: number;
  readonly value: number;
}

/** The value that `share` (0 to 1) of all values do not exceed: one of them, not one between two. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}

export const median = (values: readonly number[]) => percentile(values, 0.5);

/** All, in another order every round: what drifts meanwhile hits everyone alike. */
export function rotated<T>(all: readonly T[], round: number): readonly T[] {
  const first = round % all.length;
  return [...all.slice(first), ...all.slice(0, first)];
}
