/** What every error of the product carries, so that whoever reads it knows what, why and what to do. */
export interface ErrorFacts {
  /** Stable, lower case with underscores: what programs compare. */
  readonly code: string;
  /** One sentence that a person understands, without a stack trace. */
  readonly message: string;
  /** What to do about it, as an instruction; where there is a command, the exact command. */
  readonly remedy?: string | undefined;
  /** Where the error crosses HTTP: its status. */
  readonly status?: number | undefined;
  /** Facts for the log and for `--json`; never a credential. */
  readonly details?: Readonly<Record<string, unknown>>;
  readonly cause?: unknown;
}

/** The one error class; packages make theirs in their own `errors.ts` as functions that return it. */
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

/** The error as plain facts that can be sent, logged or printed. Anything unexpected gets the code `internal`. */
export function factsOf(error: unknown): ErrorFacts {
  if (error instanceof FumehoodError) {
    const { code, message, remedy, status, details } = error;
    return { code, message, details, ...(remedy && { remedy }), ...(status && { status }) };
  }
  return { code: 'internal', message: error instanceof Error ? error.message : String(error) };
}
