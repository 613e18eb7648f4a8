/** The part of a logger that an executor uses. */
export interface Log {
  info(facts: object, message: string): void;
  warn(facts: object, message: string): void;
}
