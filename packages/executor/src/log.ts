import type { ErrorFacts } from '@fumehood/base';

/** The part of a logger that an executor uses. */
export interface Log {
  info(facts: object, message: string): void;
  warn(facts: object, message: string): void;
}

/**
 * Returns a function that reports a message only when it differs from the last one, so that a lasting problem is reported once.
 * `null` says that the problem is over: the same message is reported again after it.
 */
export function reportChanges(report: (message: string) => void): (message: string | null) => void {
  let last: string | null = null;
  return (message) => {
    if (message !== null && message !== last) report(message);
    last = message;
  };
}

/** Returns the message and the remedy of an error in one line. */
export const withRemedy = ({ message, remedy }: ErrorFacts) => (remedy ? `${message}. ${remedy}` : message);
