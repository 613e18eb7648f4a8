/** Aligns columns of text: each is as wide as its widest cell, except the last one, which is not padded. */
export function table(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column] ?? 0)))
      .join('  ')
      .trimEnd(),
  );
}

/** Shortens an ISO time to the minute, in UTC: `2026-03-01 12:00`. Returns `never` for null. */
export function minuteOf(time: string | null): string {
  return time?.slice(0, 16).replace('T', ' ') ?? 'never';
}

/** Returns how long ago an ISO time was at `now` (milliseconds since 1970), in its largest unit: `3 d`. */
export function ageOf(time: string, now: number): string {
  const seconds = Math.max(0, Math.floor((now - Date.parse(time)) / 1_000));
  const units = [
    ['d', 86_400],
    ['h', 3_600],
    ['min', 60],
  ] as const;
  const [unit, size] = units.find(([, least]) => seconds >= least) ?? ['s', 1];
  return `${Math.floor(seconds / size)} ${unit}`;
}
