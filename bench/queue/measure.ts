/** One measurement. */
export interface Sample {
  readonly scenario: string;
  /** The column of the table, with its unit. */
  readonly metric: string;
  readonly contender: string;
  readonly round: number;
  readonly value: number;
}

/** Returns the smallest of the values that `share` (0 to 1) of them do not exceed, without interpolation. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}

export const median = (values: readonly number[]) => percentile(values, 0.5);

/** Returns the list in another order for each round, so that a drift of the machine hits everyone alike. */
export function rotated<T>(all: readonly T[], round: number): readonly T[] {
  const first = round % all.length;
  return [...all.slice(first), ...all.slice(0, first)];
}
