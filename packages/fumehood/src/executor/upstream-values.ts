/** The units of Go's durations, ms. */
const durationUnits: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
};
const durationPart = /(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g;

/** Returns a duration as Go writes it (`1h30m`), in whole ms; null if it is none. */
export function goDurationMs(text: string): number | null {
  if (text === '0') return 0;
  const parts = [...text.matchAll(durationPart)];
  if (parts.length === 0 || parts.map(([part]) => part).join('') !== text) return null;
  return Math.round(
    parts.reduce((total, [, count, unit]) => total + Number(count) * (durationUnits[unit as string] ?? 0), 0),
  );
}

const sizeUnits = { K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 } as const;

/** Returns a size such as `12G`, `512 MB` or a number of bytes, in whole MiB; null if it is none, or less than 1 MiB. */
export function sizeMiB(text: string): number | null {
  const [, count, unit] = /^(\d{1,15}) ?(?:([KMGT])i?)?B?$/i.exec(text) ?? [];
  if (count === undefined) return null;
  const factor = unit === undefined ? 1 : sizeUnits[unit.toUpperCase() as keyof typeof sizeUnits];
  const size = Math.floor((Number(count) * factor) / 2 ** 20);
  return size >= 1 ? size : null;
}

/** Returns a truth value as Go reads it; null if it is none. */
export function goBoolean(text: string): boolean | null {
  if (/^(1|t|true)$/i.test(text)) return true;
  return /^(0|f|false)$/i.test(text) ? false : null;
}
