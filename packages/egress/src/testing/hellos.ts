/** A record of a handshake. */
export const record = (content: Buffer) =>
  Buffer.concat([Buffer.from([22, 3, 1, content.length >> 8, content.length & 255]), content]);
/** Bytes after their length, which has so many bytes. */
export const sized = (bytes: number, content: Buffer) => {
  const length = Buffer.alloc(bytes);
  length.writeUIntBE(content.length, 0, bytes);
  return Buffer.concat([length, content]);
};
export const extension = (type: number, content: Buffer) =>
  Buffer.concat([Buffer.from([type >> 8, type & 255]), sized(2, content)]);
/** The extension with these names of hosts. */
export const serverName = (...names: string[]) =>
  extension(
    0,
    sized(
      2,
      Buffer.concat(
        names.map((name) => Buffer.concat([Buffer.from([0]), sized(2, Buffer.from(name, 'latin1'))])),
      ),
    ),
  );
/** A hello with these extensions, and what follows them. */
export const hello = (extensions: readonly Buffer[], after = Buffer.alloc(0)) => {
  const body = Buffer.concat([
    ...[Buffer.from([3, 3]), Buffer.alloc(32), sized(1, Buffer.alloc(32)), sized(2, Buffer.from([0x13, 1]))],
    ...[sized(1, Buffer.from([0])), sized(2, Buffer.concat([...extensions])), after],
  ]);
  return record(Buffer.concat([Buffer.from([1]), sized(3, body)]));
};
