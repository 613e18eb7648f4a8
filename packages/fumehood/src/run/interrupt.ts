/** SIGINT, SIGTERM and SIGHUP while a command waits: the first one is a request to stop, the second one exits at once. */
export interface Interrupts {
  /** Is aborted by the first signal. */
  readonly signal: AbortSignal;
  /** Restores the default action of the signals. */
  release(): void;
}

/** Exit code of an interrupted command, as in shells: 128 + SIGINT. */
export const interruptedCode = 130;

/** A program such as `timeout` sends SIGTERM to a process and to its group: within this time, both are one request. */
const sameRequestMs = 1_000;

/**
 * Calls `onFirst` at the first SIGINT, SIGTERM or SIGHUP (the terminal was closed), and exits with 130 at the second SIGINT or SIGTERM. A
 * second SIGHUP asks for nothing new: shells and terminals both send it.
 */
export function watchInterrupts(onFirst: () => void): Interrupts {
  const controller = new AbortController();
  let firstAt = 0;
  const handle = (name: NodeJS.Signals) => {
    if (!controller.signal.aborted) {
      firstAt = performance.now();
      controller.abort();
      onFirst();
    } else if (name === 'SIGINT' || (name === 'SIGTERM' && performance.now() - firstAt > sameRequestMs))
      process.exit(interruptedCode);
  };
  const names = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const name of names) process.on(name, handle);
  return {
    signal: controller.signal,
    release() {
      for (const name of names) process.off(name, handle);
    },
  };
}
