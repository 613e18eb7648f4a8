/** An answer of a code host, as far as limits are concerned. */
interface LimitedAnswer {
  readonly status: number;
  readonly header: (name: string) => string | null;
  /** What it says in words. */
  readonly said: () => string;
}

/** The pause after an answer that names none. */
const pauseMs = 60_000;
/** The longest pause. What a host says beyond it is asked again. */
const pauseMax = 3_600_000;

/**
 * Returns until when an answer asks for no more requests, milliseconds since 1970; null: it does not. `Retry-After` has seconds or a date
 * (RFC 9110, 10.2.3). GitHub and GitLab say in headers how many requests are left, and when there will be more. GitHub answers 403, too,
 * and says so in words alone when requests have come too fast.
 */
export function limitedUntil({ status, header, said }: LimitedAnswer, now: number): number | null {
  const refused = status === 429 || status === 403 || status === 503;
  const retryAfter = refused ? header('retry-after') : null;
  const left = header('x-ratelimit-remaining') ?? header('ratelimit-remaining');
  const isLimited =
    status === 429 || retryAfter !== null || left === '0' || (status === 403 && /rate limit/i.test(said()));
  if (!isLimited) return null;
  const reset = Number(header('x-ratelimit-reset') ?? header('ratelimit-reset') ?? Number.NaN) * 1_000;
  const until = retryAfter === null ? (left === '0' ? reset : Number.NaN) : timeOf(retryAfter, now);
  return Math.min(Math.max(Number.isNaN(until) ? now + pauseMs : until, now + 1_000), now + pauseMax);
}

/** Parses a `Retry-After`; NaN if it is none. */
function timeOf(retryAfter: string, now: number): number {
  return /^\d+$/.test(retryAfter) ? now + Number(retryAfter) * 1_000 : Date.parse(retryAfter);
}
