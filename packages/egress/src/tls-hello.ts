/** What the first bytes of a connection are. */
export type Hello =
  /** More bytes are needed to say it. */
  | { readonly kind: 'incomplete' }
  /** No TLS. */
  | { readonly kind: 'other' }
  /** TLS whose server name cannot be relied on; `why` is a clause. */
  | { readonly kind: 'unreadable'; readonly why: string }
  /** A client hello; the name is in lower case, null if it has none. */
  | { readonly kind: 'hello'; readonly serverName: string | null };

/** Longest client hello that is read, bytes: with a post-quantum key share it has some 1,600. */
export const helloMax = 16_384;
/** Most records over which a hello is spread: clients use one or two, and each costs a copy of what came before. */
const recordsMax = 16;
const recordHeader = 5;
const handshakeRecord = 22;
const clientHello = 1;
const serverNameExtension = 0;
/** `encrypted_client_hello` (RFC 9849). */
const encryptedHelloExtension = 0xfe0d;
const hostName = 0;

/**
 * Reads the server name of a TLS client hello (RFC 8446, 4.1.2; RFC 6066, 3) at the beginning of what a client has sent. It may be spread
 * over a few records. A server could read a hello otherwise that breaks a rule, so such a one is unreadable.
 */
export function readHello(bytes: Buffer): Hello {
  if ((bytes.length > 0 && bytes[0] !== handshakeRecord) || (bytes.length > 1 && bytes[1] !== 3))
    return { kind: 'other' };
  let message = Buffer.alloc(0);
  let records = 0;
  for (let at = 0; at + recordHeader <= bytes.length; ) {
    const length = bytes.readUInt16BE(at + 3);
    if (++records > recordsMax) return unreadable(`it has more than ${recordsMax} records`);
    if (bytes[at] !== handshakeRecord || bytes[at + 1] !== 3 || length === 0)
      return unreadable('its records are not those of a client hello');
    message = Buffer.concat([message, bytes.subarray(at + recordHeader, at + recordHeader + length)]);
    if (message.length > 0 && message[0] !== clientHello)
      return unreadable('it does not begin with a client hello');
    const end = message.length < 4 ? Number.POSITIVE_INFINITY : 4 + message.readUIntBE(1, 3);
    if (message.length >= end) return nameIn(message.subarray(4, end));
    at += recordHeader + length;
  }
  if (bytes.length > helloMax) return unreadable(`it is longer than ${helloMax} bytes`);
  return { kind: 'incomplete' };
}

const unreadable = (why: string): Hello => ({ kind: 'unreadable', why });

function nameIn(body: Buffer): Hello {
  try {
    return nameOf(new Reader(body));
  } catch (error) {
    if (error instanceof RangeError) return unreadable('it ends in the middle of a field');
    throw error;
  }
}

/** Reads the body of a client hello. */
function nameOf(hello: Reader): Hello {
  hello.take(2 + 32); // version and random
  hello.vector(1); // session
  hello.vector(2); // cipher suites
  hello.vector(1); // compression methods
  if (hello.isAtEnd) return { kind: 'hello', serverName: null };
  const extensions = new Reader(hello.vector(2));
  if (!hello.isAtEnd) return unreadable('bytes follow its extensions');
  const seen = new Set<number>();
  let serverName: string | null = null;
  while (!extensions.isAtEnd) {
    const type = extensions.number(2);
    const content = extensions.vector(2);
    if (seen.has(type)) return unreadable('it has an extension twice');
    seen.add(type);
    if (type === encryptedHelloExtension) return unreadable('its server name is encrypted');
    if (type !== serverNameExtension) continue;
    const name = oneName(content);
    if (name === null) return unreadable('its server name is not exactly one name of a host');
    serverName = name;
  }
  return { kind: 'hello', serverName };
}

function oneName(content: Buffer): string | null {
  const outer = new Reader(content);
  const list = new Reader(outer.vector(2));
  if (list.number(1) !== hostName) return null;
  const name = list.vector(2).toString('latin1');
  const isName = outer.isAtEnd && list.isAtEnd && name.length <= 253 && /^[\w-]+(\.[\w-]+)*$/.test(name);
  return isName ? name.toLowerCase() : null;
}

/** Reads fields one after the other. Throws a RangeError when the bytes end. */
class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  take(length: number): Buffer {
    const end = this.#at + length;
    if (end > this.#bytes.length) throw new RangeError('the bytes end');
    const taken = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return taken;
  }

  number(bytes: number): number {
    return this.take(bytes).readUIntBE(0, bytes);
  }

  /** Reads a field whose length stands before it, in this many bytes. */
  vector(lengthBytes: number): Buffer {
    return this.take(this.number(lengthBytes));
  }
}
