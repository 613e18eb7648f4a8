import { once } from 'node:events';
import { PassThrough } from 'node:stream';
import type { Client, Connection } from 'pg';

/** What the types of `pg` leave out of its connection. */
type CopyConnection = Connection & {
  sendCopyFromChunk(chunk: Uint8Array): void;
  endCopyFrom(): void;
  sendCopyFail(message: string): void;
};

/** Bytes of a table that are read ahead of whoever takes them. */
const readAhead = 1_048_576;

/** A COPY statement, as `pg` runs a query of its own: it calls these methods with what the server sends. */
abstract class Copy {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  submit(connection: Connection): void {
    connection.query(this.#text);
  }
  handleCommandComplete(): void {
    // the end comes with `handleReadyForQuery`
  }
  abstract handleError(error: Error): void;
  abstract handleReadyForQuery(): void;
}

class CopyOut extends Copy {
  readonly stream = new PassThrough({ highWaterMark: readAhead });

  handleCopyData({ chunk }: { chunk: Buffer }, connection: Connection): void {
    // A copy: `pg` writes later messages over it.
    if (this.stream.write(Buffer.from(chunk))) return;
    connection.stream.pause();
    this.stream.once('drain', () => connection.stream.resume());
  }
  handleError(error: Error): void {
    this.stream.destroy(error);
  }
  handleReadyForQuery(): void {
    this.stream.end();
  }
}

/**
 * Returns the bytes of a `COPY … TO STDOUT`. PostgreSQL is read only as fast as they are taken. Whoever does not take all of them has to
 * close the connection. The stream fails with the error of PostgreSQL.
 */
export function copyOut(client: Client, text: string): AsyncIterable<Buffer> {
  return client.query(new CopyOut(text)).stream;
}

class CopyIn extends Copy {
  readonly ended = Promise.withResolvers<void>();
  /** Resolves when the server takes data. */
  readonly opened = Promise.withResolvers<CopyConnection>();

  handleCopyInResponse(connection: Connection): void {
    this.opened.resolve(connection as CopyConnection);
  }
  handleError(error: Error): void {
    this.opened.reject(error);
    this.ended.reject(error);
  }
  handleReadyForQuery(): void {
    this.ended.resolve();
  }
}

/** Sends bytes to a `COPY … FROM STDIN`, as fast as PostgreSQL takes them. Errors: those of PostgreSQL and of `bytes`. */
export async function copyIn(client: Client, text: string, bytes: AsyncIterable<Buffer>): Promise<void> {
  const copy = client.query(new CopyIn(text));
  copy.ended.promise.catch(() => {}); // it is awaited below, after what may fail before
  const connection = await copy.opened.promise;
  // The server ends the statement at its first wrong line, and what is sent after that would never be taken.
  const failed = new AbortController();
  copy.ended.promise.catch(() => failed.abort());
  try {
    for await (const chunk of bytes) {
      if (failed.signal.aborted) break;
      connection.sendCopyFromChunk(chunk);
      if (connection.stream.writableNeedDrain)
        await once(connection.stream, 'drain', { signal: failed.signal }).catch((error: unknown) => {
          if (!failed.signal.aborted) throw error;
        });
    }
  } catch (error) {
    connection.sendCopyFail('its bytes cannot be read');
    await copy.ended.promise.catch(() => {});
    throw error;
  }
  if (!failed.signal.aborted) connection.endCopyFrom();
  await copy.ended.promise;
}
