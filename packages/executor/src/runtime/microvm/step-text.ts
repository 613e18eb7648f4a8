import { stepOutputMax } from '@fumehood/protocol';

/** Bytes at the end of an output that an error quotes. */
const quotedBytes = 1_000;

/** The text of one output of a step: its beginning, for later steps, and its end, for errors. */
export interface StepText {
  readonly add: (chunk: Buffer) => void;
  /** Returns the beginning, at most `stepOutputMax` bytes of UTF-8, without a character that was cut. */
  readonly text: () => string;
  /** Whether there was more. */
  readonly isCut: () => boolean;
  readonly end: () => string;
}

/** Begins the text of an output. */
export function stepText(): StepText {
  const chunks: Buffer[] = [];
  let bytes = 0;
  let end: Buffer = Buffer.alloc(0);
  return {
    add(chunk) {
      const room = Math.max(0, stepOutputMax - bytes);
      if (room > 0) chunks.push(chunk.subarray(0, room));
      bytes += chunk.length;
      end = Buffer.concat([end, chunk.subarray(-quotedBytes)]).subarray(-quotedBytes);
    },
    text: () =>
      new TextDecoder('utf-8', { ignoreBOM: true }).decode(Buffer.concat(chunks), {
        stream: bytes > stepOutputMax,
      }),
    isCut: () => bytes > stepOutputMax,
    end: () => end.toString('utf8'),
  };
}
