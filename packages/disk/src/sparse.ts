import { blockSize } from './entry.ts';
import { tarInvalid, tarTooBig } from './errors.ts';
import { numberOf } from './header.ts';
import { extensionMax } from './limits.ts';

/** A sparse file: the archive holds only some pieces of it, one after another; the rest of the file is zeros. */
export interface SparseMap {
  /** Size of the whole file, bytes. */
  readonly size: number;
  /** In the order of the file. Bytes. */
  readonly pieces: readonly { readonly offset: number; readonly length: number }[];
}

/** Where the map of a sparse member is. */
export type SparseForm =
  /** In the header, and in blocks after it: GNU's own format. */
  | 'header'
  /** In pax records: GNU's formats 0.0 and 0.1. */
  | 'records'
  /** At the start of the body: GNU's format 1.0. */
  | 'body';

/** Returns in which form a member is sparse, or null. `name` is for errors. Errors: `tar_invalid`. */
export function sparseForm(
  flag: string,
  records: ReadonlyMap<string, string>,
  name: string,
): SparseForm | null {
  if (flag === 'S') return 'header';
  const [major, minor] = [records.get('GNU.sparse.major'), records.get('GNU.sparse.minor')];
  if (major === '1' && minor === '0') return 'body';
  if ((major ?? '0') === '0' && (minor ?? '0') <= '1')
    return records.has('GNU.sparse.map') ? 'records' : null;
  throw tarInvalid(`${name} is a sparse file in the unknown format ${major}.${minor}`);
}

/**
 * Reads the map of a sparse member, and checks that its pieces are in order, within the file, and all there. `take` returns the next
 * block of the archive; `stored` is the size of the member there, which includes a map in its body. Errors: `tar_invalid`, `tar_too_big`.
 */
export async function readSparseMap(
  form: SparseForm,
  member: {
    readonly header: Buffer;
    readonly records: ReadonlyMap<string, string>;
    readonly name: string;
    readonly stored: number;
  },
  take: () => Promise<Buffer>,
): Promise<SparseMap & { readonly blocks: number }> {
  const { header, records, name } = member;
  const what = `the map of the sparse file ${name}`;
  let blocks = 0;
  const counted = () => {
    blocks += 1;
    if (blocks * blockSize > extensionMax) throw tarTooBig(`${what} has more than ${extensionMax} bytes`);
    return take();
  };
  let size: number;
  let numbers: number[];
  if (form === 'header') {
    size = numberOf(header, 483, 12, `the size of the sparse file ${name}`);
    numbers = await headerNumbers(header, what, counted);
  } else {
    const text = records.get('GNU.sparse.size') ?? records.get('GNU.sparse.realsize') ?? '';
    size = decimal(text, `the size of the sparse file ${name}`);
    const texts =
      form === 'records'
        ? (records.get('GNU.sparse.map') ?? '').split(',')
        : await bodyLines(what, member.stored, counted);
    numbers = texts.map((one) => decimal(one, what));
  }
  const stored = member.stored - (form === 'body' ? blocks * blockSize : 0);
  return { size, pieces: checkedPieces(numbers, size, stored, what), blocks };
}

/** Reads the pairs of numbers in a header (four of them) and in the blocks after it (21 each). */
async function headerNumbers(header: Buffer, what: string, take: () => Promise<Buffer>): Promise<number[]> {
  const numbers: number[] = [];
  let block = header;
  let [start, pairs, more] = [386, 4, 482];
  for (;;) {
    for (let at = start; at < start + pairs * 24 && block[at] !== 0; at += 12)
      numbers.push(numberOf(block, at, 12, what));
    if (block[more] === 0) return numbers;
    block = await take();
    [start, pairs, more] = [0, 21, 504];
  }
}

/** Reads the lines at the start of a body: the number of pieces, then the two numbers of each. */
async function bodyLines(what: string, stored: number, take: () => Promise<Buffer>): Promise<string[]> {
  const lines: string[] = [];
  let rest = '';
  for (let left = stored - blockSize; left >= 0; left -= blockSize) {
    const parts = (rest + (await take()).toString('latin1')).split('\n');
    rest = parts.pop() as string;
    for (const part of parts) lines.push(part);
    const count = lines[0] === undefined ? Number.POSITIVE_INFINITY : 2 * decimal(lines[0], what);
    if (lines.length > count) return lines.slice(1, count + 1);
  }
  throw tarInvalid(`${what} is cut off`);
}

const zeros = Buffer.alloc(64 * 1024);

/** Yields the whole file. `next` yields so many of its stored bytes. */
export async function* withHoles(
  { size, pieces }: SparseMap,
  next: (length: number) => AsyncIterable<Buffer>,
): AsyncGenerator<Buffer> {
  let position = 0;
  for (const { offset, length } of [...pieces, { offset: size, length: 0 }]) {
    for (; position < offset; position += Math.min(zeros.length, offset - position))
      yield zeros.subarray(0, offset - position);
    yield* next(length);
    position += length;
  }
}

function checkedPieces(
  numbers: readonly number[],
  size: number,
  stored: number,
  what: string,
): SparseMap['pieces'] {
  const pieces: { offset: number; length: number }[] = [];
  let end = 0;
  let total = 0;
  for (let at = 0; at < numbers.length; at += 2) {
    const [offset = 0, length = -1] = [numbers[at], numbers[at + 1]];
    if (offset < end || length < 0 || offset + length > size)
      throw tarInvalid(`${what} has pieces that overlap or lie outside of the file`);
    end = offset + length;
    total += length;
    pieces.push({ offset, length });
  }
  if (total !== stored) throw tarInvalid(`${what} has ${total} bytes, but the archive has ${stored} of them`);
  return pieces;
}

function decimal(text: string, what: string): number {
  const value = Number(text);
  if (!/^\d{1,16}$/.test(text) || !Number.isSafeInteger(value))
    throw tarInvalid(`${what} is damaged: ${JSON.stringify(text.slice(0, 40))} is no number`);
  return value;
}
