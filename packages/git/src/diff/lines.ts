import { diffInvalid } from './errors.ts';

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const newline = 10;

/** Reads a diff line by line. */
export interface Lines {
  /** Where the next line begins. */
  readonly at: number;
  readonly isAtEnd: boolean;
  /** The first byte of the next line: its newline if it is empty; -1 at the end. */
  readonly first: number;
  /** Goes to the next line. */
  skip(): void;
  /** Returns whether the next line begins with this ASCII text. */
  has(beginning: string): boolean;
  /** Returns the next line without its newline, and goes on. Errors: `diff_invalid` if it is not UTF-8. */
  take(): string;
  /** Returns the next line if it begins with this ASCII text, without that, and goes on; otherwise null. */
  takeAfter(beginning: string): string | null;
  /** Returns the bytes of the next line without its newline, and goes on. */
  takeBytes(): Buffer;
}

/** Reads lines, each of which has to end with a newline. Errors: `diff_invalid`. */
export function readLines(bytes: Uint8Array): Lines {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (buffer.length > 0 && buffer.at(-1) !== newline) throw diffInvalid('its last line has no end');
  let at = 0;
  const has = (beginning: string) =>
    buffer.length - at >= beginning.length &&
    buffer.toString('latin1', at, at + beginning.length) === beginning;
  const takeBytes = () => {
    const end = buffer.indexOf(newline, at);
    if (end < 0) throw diffInvalid('it ends too early');
    const line = buffer.subarray(at, end);
    at = end + 1;
    return line;
  };
  const take = () => {
    const line = takeBytes();
    try {
      return utf8.decode(line);
    } catch {
      throw diffInvalid('a name or a header in it is not UTF-8');
    }
  };
  return {
    get at() {
      return at;
    },
    get isAtEnd() {
      return at === buffer.length;
    },
    get first() {
      return buffer[at] ?? -1;
    },
    skip: () => void takeBytes(),
    has,
    take,
    takeAfter: (beginning) => (has(beginning) ? take().slice(beginning.length) : null),
    takeBytes,
  };
}
