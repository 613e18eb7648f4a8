import { writeSync } from 'node:fs';

/** The variable of the environment that says how a process writes its log: `text`, or JSON lines if it is anything else. */
export const logFormatVariable = 'FUMEHOOD_LOG';

/**
 * A destination for pino: writes each line of the log to stderr, for people if `FUMEHOOD_LOG` is `text`. A line that cannot be
 * written, because the disk is full or the reader is gone, is lost, so that a log never stops its process. (The destination of pino
 * itself retries for ever.)
 */
export const logLines = {
  write(line: string): void {
    try {
      writeSync(2, process.env[logFormatVariable] === 'text' ? textOf(line) : line);
    } catch {
      // there is no other place to report it
    }
  },
};

const levels: Readonly<Record<number, string>> = {
  10: 'trace',
  20: 'debug',
  30: 'info',
  40: 'warn',
  50: 'error',
  60: 'fatal',
};

/**
 * Returns pino's line as people read it: `TIME LEVEL MESSAGE NAME=VALUE…`. A value that is more than a word is in JSON, and control
 * characters, which a client may have sent, are escaped.
 */
export function textOf(line: string): string {
  const { level, time, msg, ...facts } = JSON.parse(line) as Record<string, unknown>;
  const pairs = Object.entries(facts).map(([name, value]) => `${name}=${valueOf(value)}`);
  const words = [new Date(Number(time)).toISOString(), levels[Number(level)] ?? level, msg, ...pairs];
  return `${words.join(' ').replaceAll(/\p{C}/gu, (character) => escaped(character))}\n`;
}

function valueOf(value: unknown): string {
  return typeof value === 'string' && /^[\w@%+:,./-]+$/.test(value) ? value : JSON.stringify(value);
}

const escaped = (character: string) =>
  [...Array(character.length).keys()]
    .map((at) => `\\u${character.charCodeAt(at).toString(16).padStart(4, '0')}`)
    .join('');
