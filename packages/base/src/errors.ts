/** The facts of an error: what happened, why, and what to do about it. */
export interface ErrorFacts {
  /** Stable; lower case with underscores. Programs compare it. */
  readonly code: string;
  /** One sentence that a person understands without a stack trace. */
  readonly message: string;
  /** An imperative: what to do about it, with the exact command where there is one. */
  readonly remedy?: string | undefined;
  /** The HTTP status, for errors that cross HTTP. */
  readonly status?: number | undefined;
  /** Further facts for the log and for `--json`. Never a credential. */
  readonly details?: Readonly<Record<string, unknown>>;
  readonly cause?: unknown;
}

/** The one error class. Each package has an `errors.ts` with functions that return its errors. */
export class FumehoodError extends Error {
  readonly code: string;
  readonly remedy: string | undefined;
  readonly status: number | undefined;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(facts: ErrorFacts) {
    super(facts.message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.name = 'FumehoodError';
    this.code = facts.code;
    this.remedy = facts.remedy;
    this.status = facts.status;
    this.details = facts.details ?? {};
  }
}

/** Returns an error as plain facts, to send, log or print. An unexpected error gets the code `internal`. */
export function factsOf(error: unknown): ErrorFacts {
  if (error instanceof FumehoodError) {
    const { code, message, remedy, status, details } = error;
    return { code, message, details, ...(remedy && { remedy }), ...(status && { status }) };
  }
  return { code: 'internal', message: error instanceof Error ? error.message : String(error) };
}
