import { factsOf } from '../errors.ts';

/** A helper that runs: the privileged parent of an unprivileged process. */
export interface Helper {
  /** Asks the helper's children to end; resolves when they are dead. Each call asks them again. */
  stop(): Promise<void>;
}

/**
 * Runs a helper as this process's main program: `start` gets the configuration file, which is its one argument. Each SIGTERM or
 * SIGINT stops it, also while it starts. If it cannot start, stderr says why and what to do, and the exit code is 1.
 */
export async function runHelper(start: (configFile: string) => Promise<Helper>): Promise<void> {
  const starting = start(process.argv[2] ?? '');
  const stop = async () => {
    await starting.then((helper) => helper.stop());
    process.exit(0);
  };
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.on(name, () => void stop().catch(() => {}));
  try {
    await starting;
  } catch (error) {
    const { message, remedy } = factsOf(error);
    process.stderr.write(`fumehood: ${message}\n${remedy ? `  ${remedy}\n` : ''}`);
    process.exit(1);
  }
}
