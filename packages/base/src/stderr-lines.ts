import { writeSync } from 'node:fs';

/**
 * A destination for pino: writes each line of the log to stderr. A line that cannot be written, because the disk is full or the
 * reader is gone, is lost, so that a log never stops its process. (The destination of pino itself retries for ever.)
 */
export const stderrLines = {
  write(line: string): void {
    try {
      writeSync(2, line);
    } catch {
      // there is no other place to report it
    }
  },
};
