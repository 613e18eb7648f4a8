import { writeSync } from 'node:fs';

/**
 * Where a process writes its log, line by line: its stderr. A line that cannot be written, because the disk is full or nobody reads
 * any more, is lost; that must not stop what is logged about. (pino's own destination tries for ever.)
 */
export const stderrLines = {
  write(line: string): void {
    try {
      writeSync(2, line);
    } catch {
      // there is no place to say it
    }
  },
};
