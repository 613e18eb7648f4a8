/** SIGINT and SIGTERM while a command waits: the first one is a request to stop, the second one exits at once. */
export interface Interrupts {
  /** Is aborted by the first signal. */
  readonly signal: AbortSignal;
  /** Restores the default action of the signals. */
  release(): void;
}

/** Exit code of an interrupted command, as in shells: 128 + SIGINT. */
export const interruptedCode = 130;

/** Calls `onFirst` at the first SIGINT or SIGTERM, and exits with 130 at the second. */
export function watchInterrupts(onFirst: () => void): Interrupts {
  const controller = new AbortController();
  const handle = () => {
    if (controller.signal.aborted) process.exit(interruptedCode);
    controller.abort();
    onFirst();
  };
  const names = ['SIGINT', 'SIGTERM'] as const;
  for (const name of names) process.on(name, handle);
  return {
    signal: controller.signal,
    release() {
      for (const name of names) process.off(name, handle);
    },
  };
}
