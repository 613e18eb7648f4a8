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
