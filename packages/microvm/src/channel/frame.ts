import { guestProtocol } from '../errors.ts';
import { answerMax, fieldsMax, frameMax } from './limits.ts';

/** One message: the verb and its fields. */
export interface Message {
  readonly verb: string;
  readonly fields: readonly Buffer[];
}

/** Encodes a message as a frame. Errors: `guest_protocol` when the message exceeds the limits of a frame. */
export function encodeMessage(verb: string, fields: readonly (string | number | Uint8Array)[]): Buffer {
  if (fields.length >= fieldsMax)
    throw guestProtocol(`${verb} needs ${fields.length} fields, a message has fewer than ${fieldsMax}`);
  const parts: Buffer[] = [];
  for (const field of [verb, ...fields]) {
    const bytes = typeof field === 'object' ? Buffer.from(field) : Buffer.from(String(field));
    const length = Buffer.alloc(4);
    length.writeUInt32LE(bytes.length);
    parts.push(length, bytes);
  }
  const body = Buffer.concat(parts);
  if (body.length > frameMax)
    throw guestProtocol(`${verb} needs ${body.length} bytes, a message has at most ${frameMax}`);
  const head = Buffer.alloc(4);
  head.writeUInt32LE(body.length);
  return Buffer.concat([head, body]);
}

/**
 * Returns a function that takes the chunks of a control stream and returns the messages that each one completes. It holds at
 * most one frame, of `bodyMax` bytes, and one chunk. Errors: `guest_protocol`.
 */
export function messageReader(bodyMax = answerMax): (chunk: Buffer) => Message[] {
  let rest: Buffer = Buffer.alloc(0);
  return (chunk) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    const messages: Message[] = [];
    while (rest.length >= 4) {
      const size = rest.readUInt32LE(0);
      if (size < 1 || size > bodyMax) throw guestProtocol(`it sent a frame of ${size} bytes`);
      if (rest.length < 4 + size) break;
      messages.push(decodeBody(rest.subarray(4, 4 + size)));
      rest = rest.subarray(4 + size);
    }
    return messages;
  };
}

function decodeBody(body: Buffer): Message {
  const fields: Buffer[] = [];
  for (let at = 0; at < body.length; ) {
    if (fields.length === fieldsMax) throw guestProtocol(`it sent a frame of more than ${fieldsMax} fields`);
    if (body.length - at < 4) throw guestProtocol('it sent a frame with bytes after its last field');
    const size = body.readUInt32LE(at);
    at += 4;
    if (size > body.length - at) throw guestProtocol('it sent a field that is longer than its frame');
    fields.push(Buffer.from(body.subarray(at, at + size)));
    at += size;
  }
  const verb = fields.shift()?.toString('latin1') ?? '';
  if (!/^[a-z-]{1,32}$/.test(verb)) throw guestProtocol('it sent a message without a verb');
  return { verb, fields };
}
