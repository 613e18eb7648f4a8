import type { ReadStream } from 'node:tty';
import { usage } from '../errors.ts';

/** Longest accepted access token, characters. */
const tokenMax = 500;

/** Checks that a text can be an access token. `source` is where it came from, for the error. Errors: `usage`. */
export function accessToken(text: string, source: string): string {
  if (text.length <= tokenMax && /^[\x21-\x7e]+$/.test(text)) return text;
  const fault = text === '' ? 'is empty' : 'is not one line without blanks';
  throw usage(
    `the access token in ${source} ${fault}`,
    'Give the line that `fumehood tokens create` printed.',
  );
}

/** Reads an access token from stdin; a terminal does not show what is typed. Errors: `usage`. */
export async function readAccessToken(
  stdin: NodeJS.ReadStream,
  ask: (text: string) => void,
): Promise<string> {
  const text = stdin.isTTY ? await typedLine(stdin, 'Paste the access token', ask) : await firstLine(stdin);
  return accessToken(text.trim(), 'stdin');
}

/**
 * Reads a value of at most `maxBytes` from stdin, without the line break at its end; a terminal does not show what is typed. `what`
 * names it, for messages. Errors: `usage`.
 */
export async function readSecretText(
  stdin: NodeJS.ReadStream,
  what: string,
  maxBytes: number,
  ask: (text: string) => void,
): Promise<string> {
  if (stdin.isTTY) return await typedLine(stdin, `Paste the ${what}`, ask);
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stdin) {
    chunks.push(Buffer.from(chunk as Buffer));
    bytes += (chunk as Buffer).length;
    if (bytes > maxBytes + 2)
      throw usage(`the ${what} on stdin has more than ${maxBytes} bytes`, 'Give a shorter one.');
  }
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.concat(chunks));
    return text.replace(/\r?\n$/, '');
  } catch {
    throw usage(`the ${what} on stdin is not text in UTF-8`, 'Encode it first, for example with base64.');
  }
}

async function firstLine(stdin: NodeJS.ReadStream): Promise<string> {
  let text = '';
  for await (const chunk of stdin) {
    text += String(chunk);
    if (text.includes('\n') || text.length > tokenMax) break;
  }
  return text.split('\n', 1)[0] ?? '';
}

/** Reads a line that the terminal does not show. Ctrl-C and Ctrl-D end it without a line. */
async function typedLine(
  terminal: ReadStream,
  request: string,
  ask: (text: string) => void,
): Promise<string> {
  ask(`${request}, which is not shown, and press Enter.`);
  terminal.setRawMode(true);
  try {
    let text = '';
    for await (const chunk of terminal) {
      for (const character of String(chunk)) {
        if (character === '\r' || character === '\n') return text;
        if (character === '\x03' || character === '\x04') return '';
        text = character === '\x7f' ? text.slice(0, -1) : text + character;
      }
    }
    return text;
  } finally {
    terminal.setRawMode(false);
  }
}
