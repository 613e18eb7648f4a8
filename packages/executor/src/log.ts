import type { ErrorFacts } from '@fumehood/base';

/** The part of a logger that an executor uses. */
export interface Log {
  info(facts: object, message: string): void;
  warn(facts: object, message: string): void;
}

/** Says what is new: a trouble that goes on is said once, and again when it comes back after `null`. */
export function onChange(say: (message: string) => void): (message: string | null) => void {
  let last: string | null = null;
  return (message) => {
    if (message !== null && message !== last) say(message);
    last = message;
  };
}

/** An error in one line, with what to do. */
export const tellOf = ({ message, remedy }: ErrorFacts) => (remedy ? `${message}. ${remedy}` : message);
