/** Writes protobuf messages into a buffer that grows and is used again. */
export class Writer {
  #bytes = Buffer.allocUnsafe(1 << 16);
  #at = 0;

  /** Returns a copy of what was written since the last time. */
  take(): Buffer {
    const taken = Buffer.from(this.#bytes.subarray(0, this.#at));
    this.#at = 0;
    return taken;
  }

  varint(value: number): void {
    this.#reserve(5);
    for (let rest = value; ; rest >>>= 7) {
      this.#bytes[this.#at++] = rest > 127 ? (rest & 127) | 128 : rest;
      if (rest <= 127) return;
    }
  }

  /** A field whose value is a number; the default value is left out. */
  number(field: number, value: number): void {
    if (value === 0) return;
    this.varint(field << 3);
    this.varint(value);
  }

  text(field: number, value: string): void {
    this.varint((field << 3) | 2);
    this.varint(Buffer.byteLength(value));
    this.#reserve(value.length * 3);
    this.#at += this.#bytes.write(value, this.#at);
  }

  bytes(field: number, value: Uint8Array): void {
    this.varint((field << 3) | 2);
    this.varint(value.length);
    this.#reserve(value.length);
    this.#bytes.set(value, this.#at);
    this.#at += value.length;
  }

  #reserve(length: number): void {
    if (this.#at + length <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafe(2 * (this.#at + length));
    larger.set(this.#bytes);
    this.#bytes = larger;
  }
}

/** Calls back for each field of a message; `value` is the number of a field that is one, else the field's bytes are from `start` to `end`. */
export function eachField(
  bytes: Uint8Array,
  start: number,
  end: number,
  visit: (field: number, value: number, start: number, end: number) => void,
): void {
  let at = start;
  const varint = () => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++] ?? 0;
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) return value;
    }
  };
  while (at < end) {
    const tag = varint();
    const value = varint();
    if ((tag & 7) === 0) visit(tag >>> 3, value, at, at);
    else if ((tag & 7) === 2) {
      visit(tag >>> 3, 0, at, at + value);
      at += value;
    } else throw new Error(`a field of wire type ${tag & 7}`);
  }
}
