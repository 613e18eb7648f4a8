import { FumehoodError } from '@fumehood/base';

/** What is wrong at one place of a batch spec. Lines and columns count from 1. */
export interface SpecIssue {
  readonly line: number;
  readonly column: number;
  /** The field, as `steps.0.run`; empty for the whole spec. */
  readonly path: string;
  readonly message: string;
}

/** A batch spec that cannot be used. `details.issues` has all that is wrong; the message has the first. */
export function specInvalid(issues: readonly SpecIssue[]): FumehoodError {
  const [first] = issues;
  const more = issues.length > 1 ? ` (and ${issues.length - 1} more)` : '';
  const field = first?.path ? `${first.path}: ` : '';
  return new FumehoodError({
    status: 400,
    code: 'batch_spec_invalid',
    message: `batch spec:${first?.line}:${first?.column}: ${field}${first?.message}${more}`,
    remedy: 'Correct the batch spec at this place.',
    details: { issues },
  });
}
