import { FumehoodError } from '@fumehood/base';

/** What is wrong at one place of a batch spec. Lines and columns count from 1. */
export interface SpecIssue {
  readonly line: number;
  readonly column: number;
  /** The field, as `steps.0.run`; empty for the whole spec. */
  readonly path: string;
  readonly message: string;
}

/** Lines of the message: an issue a line. */
const shownMax = 5;

/** A batch spec that cannot be used. `details.issues` has all that is wrong; the message has the first ones, a line each. */
export function specInvalid(issues: readonly SpecIssue[]): FumehoodError {
  const lines = issues
    .slice(0, shownMax)
    .map(
      ({ line, column, path, message }) =>
        `batch spec:${line}:${column}: ${path === '' ? '' : `${path}: `}${message}`,
    );
  if (issues.length > shownMax) lines.push(`and ${issues.length - shownMax} more`);
  return new FumehoodError({
    status: 400,
    code: 'batch_spec_invalid',
    message: lines.join('\n'),
    remedy: 'Correct the batch spec there.',
    details: { issues },
  });
}
