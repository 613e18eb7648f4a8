import * as z from 'zod';

/** Most rows, and most columns, of a terminal (`TERMINAL_MAX` in microvm/src/guest/init/init.h). */
export const terminalSideMax = 1_000;
const side = z.int().min(1).max(terminalSideMax);

/** The size of a terminal, in characters. */
export const terminalSizeSchema = z.object({ rows: side, columns: side });
export type TerminalSize = z.infer<typeof terminalSizeSchema>;

/*
 * The stdin of a job with a terminal is a sequence of frames: a kind (1 byte), the length of what follows (2 bytes, big endian), and that
 * much. Bytes are what was typed. A size is the rows and the columns of the terminal from now on, 2 bytes each.
 */
const kinds = { bytes: 0, size: 1 } as const;
const headerBytes = 3;
const frameMax = 65_535;

function frame(kind: number, body: Uint8Array): Buffer {
  const header = Buffer.alloc(headerBytes);
  header.writeUInt8(kind, 0);
  header.writeUInt16BE(body.length, 1);
  return Buffer.concat([header, body]);
}

/** Returns the frames of typed bytes. */
export function typedFrames(bytes: Uint8Array): Buffer {
  const frames: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += frameMax)
    frames.push(frame(kinds.bytes, bytes.subarray(at, at + frameMax)));
  return Buffer.concat(frames);
}

/** Returns the frame of a new size. */
export function sizeFrame({ rows, columns }: TerminalSize): Buffer {
  const body = Buffer.alloc(4);
  body.writeUInt16BE(rows, 0);
  body.writeUInt16BE(columns, 2);
  return frame(kinds.size, body);
}

/** What frames hold. */
export interface TerminalInput {
  readonly bytes: Buffer;
  /** The last size; null: none came. */
  readonly size: TerminalSize | null;
}

/**
 * Returns a function that takes the frames of a job's stdin, cut anywhere, and returns what is in them. It holds at most a header or a
 * size, and throws a `RangeError` at the first frame that is none.
 */
export function terminalReader(): (chunk: Buffer) => TerminalInput {
  let held: Buffer = Buffer.alloc(0);
  /** Bytes of a frame of typed bytes that are still to come. */
  let left = 0;
  return (chunk) => {
    const parts: Buffer[] = [];
    let size: TerminalSize | null = null;
    let rest = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
    for (;;) {
      const part = rest.subarray(0, left);
      if (part.length > 0) parts.push(part);
      left -= part.length;
      rest = rest.subarray(part.length);
      if (rest.length < headerBytes) break;
      const length = rest.readUInt16BE(1);
      if (rest[0] === kinds.bytes) {
        left = length;
        rest = rest.subarray(headerBytes);
        continue;
      }
      if (rest[0] !== kinds.size || length !== 4) throw new RangeError('it is not a frame of a terminal');
      if (rest.length < headerBytes + length) break;
      const parsed = terminalSizeSchema.safeParse({
        rows: rest.readUInt16BE(3),
        columns: rest.readUInt16BE(5),
      });
      if (!parsed.success) throw new RangeError('it has a size that no terminal has');
      size = parsed.data;
      rest = rest.subarray(headerBytes + length);
    }
    held = Buffer.from(rest);
    return { bytes: Buffer.concat(parts), size };
  };
}
