/** What Ctrl-C does: the first one asks, the second one ends this command at once. */
export interface Interrupts {
  /** Aborted by the first SIGINT or SIGTERM. */
  readonly signal: AbortSignal;
  release(): void;
}

export const interruptedCode = 130;

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
