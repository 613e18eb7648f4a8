import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type Repository, repositoryInvalid } from '@fumehood/git';

/** An object from `git cat-file --batch`. */
export interface GitObject {
  readonly type: string;
  readonly size: number;
  /** The caller reads it to its end before it takes the next object. */
  readonly body: AsyncIterable<Buffer>;
}

/** Bytes of the longest header line of an object that is accepted. */
const headerMax = 200;

/** Yields the objects with these ids, one after the other, as streams. Errors: `repository_invalid`. */
export async function* readObjects(repository: Repository, ids: Iterable<string>): AsyncGenerator<GitObject> {
  const process = await repository.git('git cat-file', ['cat-file', '--batch', '--buffer']);
  process.stderr.resume();
  const lines = function* () {
    for (const id of ids) yield `${id}\n`;
  };
  // If git ends early, this error is ignored: the missing answer is reported.
  const writing = pipeline(Readable.from(lines()), process.stdin).catch(() => {});
  const source = process.stdout[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  let held: Buffer = Buffer.alloc(0);
  const readMore = async () => {
    const { done, value } = await source.next();
    if (done) throw repositoryInvalid('git ended before all objects were read');
    held = held.length === 0 ? value : Buffer.concat([held, value]);
  };
  try {
    for (const id of ids) {
      while (!held.includes(10)) {
        if (held.length > headerMax) throw repositoryInvalid('git did not answer with an object');
        await readMore();
      }
      const end = held.indexOf(10);
      const match = /^([0-9a-f]{40}) (\w+) (\d+)$/.exec(held.toString('latin1', 0, end));
      if (!match || match[1] !== id) throw repositoryInvalid(`the object ${id} is missing`);
      held = held.subarray(end + 1);
      const size = Number(match[3]);
      let left = size;
      const body = async function* () {
        while (left > 0) {
          if (held.length === 0) await readMore();
          const part = held.subarray(0, left);
          held = held.subarray(part.length);
          left -= part.length;
          yield part;
        }
      };
      yield { type: match[2] as string, size, body: body() };
      if (left > 0) throw repositoryInvalid(`the object ${id} was not read to its end`);
      while (held.length === 0) await readMore();
      held = held.subarray(1); // the newline after a body
    }
  } finally {
    process.kill();
    await writing;
    await process.exited;
  }
}
