/** A question that a guest asks, and what an answer repeats of it. */
export interface Question {
  /** The name in lower case, without the last dot. */
  readonly name: string;
  /** The type as a number: 1 is A, 28 AAAA (RFC 1035, 3.2.2; RFC 3596). */
  readonly type: number;
  /** The bytes of the question section, whose spelling of the name clients compare with theirs. */
  readonly section: Buffer;
  readonly id: number;
  readonly recursionDesired: boolean;
  /** Most bytes that the guest takes in one datagram. */
  readonly datagramMax: number;
}

/** What a guest gets to know about a name. An empty list of addresses says that the name exists and has none of this type. */
export type Resolution =
  | { readonly code: 'ok'; readonly addresses: readonly string[]; readonly ttlSeconds: number }
  | { readonly code: 'no_such_name' | 'failed' | 'refused' };

/** Longest message over TCP, and most bytes of a datagram that no router has to cut (DNS Flag Day 2020). */
export const messageMax = 65_535;
const datagramMax = 1232;
/** What a client takes without EDNS (RFC 1035, 4.2.1). */
const plainDatagramMax = 512;
const headerBytes = 12;
const optionType = 41;
const internet = 1;
const addressType = 1;
/** The response codes of RFC 1035, 4.1.1. */
const codes = { ok: 0, failed: 2, no_such_name: 3, refused: 5 } as const;

/**
 * Reads a guest's question. Returns null for whatever is none of exactly one name of the internet in plain letters: then the guest gets no
 * answer. Compression has no use in a question, and is refused.
 */
export function readQuestion(message: Buffer): Question | null {
  if (message.length < headerBytes) return null;
  const flags = message.readUInt16BE(2);
  const [questions, answers, authorities, additions] = [4, 6, 8, 10].map((at) => message.readUInt16BE(at));
  const isQuery = (flags & 0xf800) === 0 && (flags & 0x0200) === 0;
  if (!isQuery || questions !== 1 || answers !== 0 || authorities !== 0 || (additions as number) > 1)
    return null;
  const name = readName(message, headerBytes);
  if (name === null || name.end + 4 > message.length) return null;
  const type = message.readUInt16BE(name.end);
  if (message.readUInt16BE(name.end + 2) !== internet) return null;
  const end = name.end + 4;
  const limit = additions === 1 ? readOption(message, end) : end === message.length ? plainDatagramMax : null;
  if (limit === null) return null;
  return {
    name: name.text,
    type,
    section: message.subarray(headerBytes, end),
    id: message.readUInt16BE(0),
    recursionDesired: (flags & 0x0100) !== 0,
    datagramMax: limit,
  };
}

/** Reads labels of letters, digits, `-` and `_`, at most 253 characters with their dots. Returns null for any other name. */
function readName(message: Buffer, start: number): { text: string; end: number } | null {
  const labels: string[] = [];
  let at = start;
  for (;;) {
    const length = message[at];
    if (length === undefined || length > 63) return null;
    if (length === 0) break;
    const label = message.toString('latin1', at + 1, at + 1 + length);
    if (label.length < length || !/^[\w-]+$/.test(label)) return null;
    labels.push(label.toLowerCase());
    at += 1 + length;
    if (at - start > 254) return null;
  }
  return labels.length === 0 ? null : { text: labels.join('.'), end: at + 1 };
}

/** Reads the one additional record that a question may have, EDNS's (RFC 6891, 6.1.2). Returns the size of datagrams, or null. */
function readOption(message: Buffer, start: number): number | null {
  if (start + 11 > message.length || message[start] !== 0) return null;
  if (message.readUInt16BE(start + 1) !== optionType) return null;
  if (start + 11 + message.readUInt16BE(start + 9) !== message.length) return null;
  return Math.min(Math.max(message.readUInt16BE(start + 3), plainDatagramMax), datagramMax);
}

/**
 * Returns the message that answers a question with as many addresses as fit. A client of glibc asks again over TCP when some did not; one of
 * musl 1.2.3 does not, and takes those that are there.
 */
export function answerOf(question: Question, resolution: Resolution, maxBytes: number): Buffer {
  const all = resolution.code === 'ok' && question.type === addressType ? resolution.addresses : [];
  const ttl = resolution.code === 'ok' ? resolution.ttlSeconds : 0;
  const records = all.map((address) => recordOf(address, ttl));
  const room = Math.floor((maxBytes - headerBytes - question.section.length) / recordBytes);
  const kept = records.slice(0, Math.max(room, 0));
  const header = Buffer.alloc(headerBytes);
  header.writeUInt16BE(question.id, 0);
  const isCut = kept.length < records.length;
  // A response, with recursion available.
  const flags =
    0x8080 | (isCut ? 0x0200 : 0) | (question.recursionDesired ? 0x0100 : 0) | codes[resolution.code];
  header.writeUInt16BE(flags, 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(kept.length, 6);
  return Buffer.concat([header, question.section, ...kept]);
}

/** Returns the answer to a question that cannot be read (RFC 1035, 4.1.1: a format error), or null to what is no question at all. */
export function unreadableAnswer(message: Buffer): Buffer | null {
  if (message.length < headerBytes || (message.readUInt16BE(2) & 0x8000) !== 0) return null;
  const header = Buffer.alloc(headerBytes);
  message.copy(header, 0, 0, 2);
  header.writeUInt16BE(0x8081, 2);
  return header;
}

const recordBytes = 16;

/** An A record whose name is that of the question, by a pointer to it. */
function recordOf(address: string, ttlSeconds: number): Buffer {
  const record = Buffer.alloc(recordBytes);
  record.writeUInt16BE(0xc000 | headerBytes, 0);
  record.writeUInt16BE(addressType, 2);
  record.writeUInt16BE(internet, 4);
  record.writeUInt32BE(ttlSeconds, 6);
  record.writeUInt16BE(4, 10);
  record.set(address.split('.').map(Number), 12);
  return record;
}
