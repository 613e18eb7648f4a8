import { createWriteStream } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { Writer } from './protobuf.ts';

/** What an index of the bench holds. */
export interface Generated {
  readonly bytes: number;
  readonly documents: number;
  readonly occurrences: number;
}

const words =
  'account address amount batch billing cache charge client config customer date entry error event fee file filter format group handler index invoice item job key ledger limit line list loader log match message meter method metric model note offer order page parser path payment period plan policy price product query quota range rate reader receipt record refund region report request result role rule sale schema scope search session setting shape source state status step store stream summary tax tenant term text ticket token total trace usage user value vendor version view window worker writer'.split(
    ' ',
  );
const prefix = 'scip-typescript npm @acme/shop 4.2.0 ';
const libraries = [
  'typescript 5.9.3 lib/`lib.es5.d.ts`',
  'typescript 5.9.3 lib/`lib.dom.d.ts`',
  '@types/node 24.1.0 `fs.d.ts`',
  'zod 4.1.5 v4/classic/`schemas.d.ts`',
  'react 19.1.0 `index.d.ts`',
];
const librarySymbols = 4_000;
/** Median of the occurrences of a document, and the spread of their logarithm: a few documents are very large. */
const medianOccurrences = 250;
const spread = 1.25;
/** Of the largest document, as of a compiler's type checker. */
const largestOccurrences = 60_000;
/** About how many bytes an occurrence takes, with its share of the descriptions. */
const bytesPerOccurrence = 100;

/** Returns numbers from 0 to 1 that look random, the same ones for the same seed. */
function random(seed: number): () => number {
  let state = (seed * 2_654_435_761) >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const word = (number: number) => words[Math.abs(number) % words.length] ?? '';
const capital = (text: string) => text.slice(0, 1).toUpperCase() + text.slice(1);

/** Writes indexes that have the shape of what scip-typescript writes of a large repository. */
export class IndexGenerator {
  /** How many occurrences each document has. */
  readonly #sizes: number[] = [];
  readonly #writer = new Writer();
  readonly #piece = new Writer();

  /** `bytes`: about how large the index is, before gzip. */
  constructor(bytes: number) {
    const next = random(1);
    this.#sizes.push(Math.min(largestOccurrences, Math.ceil(bytes / bytesPerOccurrence / 10)));
    for (let total = this.#sizes[0] ?? 0; total < bytes / bytesPerOccurrence; ) {
      const normal = Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
      const size = Math.ceil(Math.min(largestOccurrences, medianOccurrences * Math.exp(spread * normal)));
      this.#sizes.push(size);
      total += size;
    }
  }

  /** Writes the index, gzipped. Revision 1 differs from revision 0 in one document of a thousand. */
  async write(path: string, revision: 0 | 1): Promise<Generated> {
    const generated = { bytes: 0, documents: 0, occurrences: 0 };
    const sizes = this.#sizes;
    const parts = function* (this: IndexGenerator) {
      this.#writer.text(1, 'scip-typescript');
      this.#writer.text(2, '0.4.0');
      const tool = this.#writer.take();
      this.#writer.bytes(2, tool);
      this.#writer.text(3, 'file:///workspace');
      const metadata = this.#writer.take();
      this.#writer.bytes(1, metadata);
      yield this.#writer.take();
      for (const [document, size] of sizes.entries()) {
        const bytes = this.#document(document, document % 1_000 === 500 ? revision : 0);
        this.#writer.bytes(2, bytes);
        const part = this.#writer.take();
        generated.bytes += part.length;
        generated.documents += 1;
        generated.occurrences += size;
        yield part;
      }
    };
    await pipeline(Readable.from(parts.call(this)), createGzip({ level: 1 }), createWriteStream(path));
    return generated;
  }

  #path(document: number): string {
    return `packages/${word(document % 37)}/src/${word(document % 61)}/${word(document)}-${document}.ts`;
  }

  /** Returns a symbol that a document defines: functions, classes, and the methods of those. */
  #symbol(document: number, number: number): string {
    const parts = this.#path(document).split('/');
    const file = `${prefix}${parts.slice(0, -1).join('/')}/\`${parts.at(-1)}\`/`;
    const name = `${word(number * 7 + document)}${capital(word(number * 13 + 5))}`;
    if (number % 8 === 0) return `${file}${capital(name)}${number}#`;
    if (number % 8 > 5) return `${file}${name}${number}().`;
    const owner = number - (number % 8);
    return `${file}${capital(`${word(owner * 7 + document)}${capital(word(owner * 13 + 5))}`)}${owner}#${name}().`;
  }

  #library(number: number): string {
    const file = libraries[number % libraries.length] ?? '';
    return `scip-typescript npm ${file}/${capital(word(number))}#${word(number * 11 + 3)}${number}().`;
  }

  #definitions(document: number): number {
    return Math.ceil((this.#sizes[document] ?? 0) * 0.12);
  }

  /** Returns what a reference is to: most are to what is near, and a few symbols have very many. */
  #target(document: number, next: () => number): string {
    const kind = next();
    if (kind < 0.25) return this.#library(Math.floor(librarySymbols * next() ** 5));
    const other = kind < 0.6 ? Math.floor(this.#sizes.length * next() ** 4) : document;
    return this.#symbol(other, Math.floor(this.#definitions(other) * next() ** 2));
  }

  #document(document: number, revision: number): Buffer {
    const next = random(document * 2 + revision + 17);
    const writer = this.#writer;
    writer.text(1, this.#path(document));
    const size = this.#sizes[document] ?? 0;
    const definitions = this.#definitions(document);
    const described: string[] = [];
    let line = 0;
    let character = 0;
    let locals = 0;
    for (let number = 0; number < size; number += 1) {
      if (next() < 0.35) {
        line += 1 + Math.floor(next() * 3);
        character = 2 * Math.floor(next() * 5);
      } else character += 2;
      const length = 3 + Math.floor(next() * 14);
      const isDefinition = described.length < (definitions * (number + 1)) / size;
      const kind = next();
      let symbol: string;
      let role = 0;
      if (isDefinition) {
        symbol = this.#symbol(document, described.length);
        described.push(symbol);
        role = 1;
      } else if (kind < 0.12 || (kind < 0.5 && locals === 0)) {
        symbol = `local ${locals++}`;
        role = 1;
      } else if (kind < 0.5) symbol = `local ${Math.max(0, locals - 1 - Math.floor(12 * next() ** 2))}`;
      else symbol = this.#target(document, next);
      this.#occurrence(symbol, role, [line, character, character + length]);
      character += length;
    }
    for (const [number, symbol] of described.entries()) this.#describe(document, number, symbol, next);
    for (let local = 0; local < locals; local += 1) this.#describe(document, -1, `local ${local}`, next);
    return writer.take();
  }

  #occurrence(symbol: string, role: number, range: readonly [number, number, number]): void {
    const piece = this.#piece;
    const packed = (numbers: readonly number[]) => {
      for (const one of numbers) piece.varint(one);
      return piece.take();
    };
    const range1 = packed(range);
    const whole = role === 1 && symbol.endsWith('().') ? packed([range[0], 0, range[0] + 2, 1]) : null;
    piece.bytes(1, range1);
    piece.text(2, symbol);
    piece.number(3, role);
    if (whole !== null) piece.bytes(7, whole);
    this.#writer.bytes(2, piece.take());
  }

  #describe(document: number, number: number, symbol: string, next: () => number): void {
    const piece = this.#piece;
    const implemented = number >= 0 && next() < 0.04 ? this.#target(document, next) : null;
    if (implemented !== null) {
      piece.text(1, implemented);
      piece.number(2, 1);
      piece.number(3, 1);
    }
    const relationship = piece.take();
    piece.text(1, symbol);
    const name = /[\w]+(?=\W*$)/.exec(symbol)?.[0] ?? '';
    const type = `${capital(word(number + document + 3))}${capital(word(number * 3 + 1))}`;
    piece.text(
      3,
      `\`\`\`ts\n${number < 0 ? 'var' : '(method)'} ${name}: (${word(number * 5)}: ${type}) => ${type}\n\`\`\``,
    );
    if (number >= 0 && next() < 0.3)
      piece.text(
        3,
        `Returns the ${word(number)} of a ${word(number * 3)}, or the ${word(number + 9)} when there is no ${word(document)}.`,
      );
    if (relationship.length > 0) piece.bytes(4, relationship);
    this.#writer.bytes(3, piece.take());
  }
}
