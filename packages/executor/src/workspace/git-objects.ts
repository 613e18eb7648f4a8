import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type Repository, repositoryInvalid } from '@fumehood/git';

/** An object as `git cat-file --batch` gives it. */
export interface GitObject {
  readonly id: string;
  readonly type: string;
  readonly size: number;
  /** To be read to its end before the next object is asked for. */
  readonly body: AsyncIterable<Buffer>;
}

const headerMax = 200;

/** The objects of these ids, one after the other, as streams. Errors: `repository_invalid`. */
export async function* readObjects(repository: Repository, ids: Iterable<string>): AsyncGenerator<GitObject> {
  const process = await repository.git('git cat-file', ['cat-file', '--batch', '--buffer']);
  process.stderr.resume();
  const lines = function* () {
    for (const id of ids) yield `${id}\n`;
  };
  // A program that ended early is found out by what it did not say.
  const asking = pipeline(Readable.from(lines()), process.stdin).catch(() => {});
  const source = process.stdout[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  let held: Buffer = Buffer.alloc(0);
  const more = async () => {
    const { done, value } = await source.next();
    if (done) throw repositoryInvalid('git ended before all objects were read');
    held = held.length === 0 ? value : Buffer.concat([held, value]);
  };
  try {
    for (const wanted of ids) {
      while (!held.includes(10)) {
        if (held.length > headerMax) throw repositoryInvalid('git answered something else than an object');
        await more();
      }
      const end = held.indexOf(10);
      const match = /^([0-9a-f]{40}) (\w+) (\d+)$/.exec(held.toString('latin1', 0, end));
      if (!match || match[1] !== wanted) throw repositoryInvalid(`the object ${wanted} is missing`);
      held = held.subarray(end + 1);
      const size = Number(match[3]);
      let left = size;
      const body = async function* () {
        while (left > 0) {
          if (held.length === 0) await more();
          const part = held.subarray(0, left);
          held = held.subarray(part.length);
          left -= part.length;
          yield part;
        }
      };
      yield { id: wanted, type: match[2] as string, size, body: body() };
      if (left > 0) throw repositoryInvalid(`the object ${wanted} was not read to its end`);
      while (held.length === 0) await more();
      held = held.subarray(1); // the newline after a body
    }
  } finally {
    process.kill();
    await asking;
    await process.exited;
  }
}
