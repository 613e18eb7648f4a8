import type { RolloutWindow } from '@fumehood/protocol';

/** Milliseconds between two changes on code hosts: 0 without a limit, and null if none may be made. */
type Pace = number | null;

/** What counts at a time. */
interface WindowAt {
  readonly pace: Pace;
  /** When another pace counts, milliseconds since 1970; null: never. */
  readonly until: number | null;
}

const minuteMs = 60_000;
const dayMs = 1_440 * minuteMs;
const unitMs = { second: 1_000, minute: minuteMs, hour: 3_600_000 } as const;
const days = ['sunday', 'monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday'] as const;

/** Returns what counts at a time, milliseconds since 1970: the last window that has it. Null for windows: there is no limit. */
export function windowAt(windows: readonly RolloutWindow[] | null, time: number): WindowAt {
  if (windows === null) return { pace: 0, until: null };
  const pace = paceAt(windows, time);
  const changes = new Set([
    0,
    ...windows.flatMap(({ start, end }) => [minutesOf(start, 0), minutesOf(end, 1_440)]),
  ]);
  const sorted = [...changes].sort((a, b) => a - b);
  const today = Math.floor(time / dayMs) * dayMs;
  // Every pace of a week is one of the seven days after today, too.
  for (let day = 0; day <= 7; day += 1)
    for (const minutes of sorted) {
      const at = today + day * dayMs + minutes * minuteMs;
      if (at > time && paceAt(windows, at) !== pace) return { pace, until: at };
    }
  return { pace, until: null };
}

function paceAt(windows: readonly RolloutWindow[], time: number): Pace {
  const day = days[new Date(time).getUTCDay()];
  const minutes = Math.floor((time % dayMs) / minuteMs);
  const window = windows.findLast(
    ({ days: on, start, end }) =>
      (on.length === 0 || on.includes(day as RolloutWindow['days'][number])) &&
      minutes >= minutesOf(start, 0) &&
      minutes < minutesOf(end, 1_440),
  );
  return window ? paceOf(window.rate) : null;
}

function paceOf(rate: RolloutWindow['rate']): Pace {
  if (rate === 'unlimited') return 0;
  if (rate === 0) return null;
  const [count, unit] = rate.split('/') as [string, keyof typeof unitMs];
  return unitMs[unit] / Number(count);
}

function minutesOf(time: string | undefined, missing: number): number {
  if (time === undefined) return missing;
  const [hours = 0, minutes = 0] = time.split(':').map(Number);
  return hours * 60 + minutes;
}

/**
 * Returns when the next change may be made on code hosts, and how long none may follow it, milliseconds; null: never. `nextAt`: when the
 * changes of before let the next one be made, at the earliest.
 */
export function nextTurn(
  windows: readonly RolloutWindow[] | null,
  nextAt: number,
  now: number,
): { readonly at: number; readonly pace: number } | null {
  for (let at: number | null = now; at !== null; ) {
    const { pace, until }: WindowAt = windowAt(windows, at);
    const waits = pace === null ? Number.POSITIVE_INFINITY : Math.max(at, pace === 0 ? at : nextAt);
    if (pace !== null && (until === null || waits < until)) return { at: waits, pace };
    at = until;
  }
  return null;
}
