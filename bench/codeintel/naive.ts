import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { eachField } from './protobuf.ts';

/** A place in a file, and what is there. */
export interface Place {
  readonly path: string;
  readonly line: number;
  readonly character: number;
}
interface Occurrence {
  /** Line, character, end line, end character. */
  readonly range: readonly [number, number, number, number];
  readonly symbol: string;
  readonly defines: boolean;
}

/** Reads a whole index into memory by code of its own, and answers by looking at everything: what the product's answers have to be equal to. */
export class NaiveIndex {
  readonly #documents = new Map<string, Occurrence[]>();
  /** The symbols whose references are a symbol's too. */
  readonly #related = new Map<string, string[]>();

  constructor(path: string) {
    const bytes = gunzipSync(readFileSync(path));
    const text = (start: number, end: number) => bytes.toString('utf8', start, end);
    eachField(bytes, 0, bytes.length, (field, _, start, end) => {
      if (field !== 2) return;
      let name = '';
      const occurrences: Occurrence[] = [];
      eachField(bytes, start, end, (inner, __, from, to) => {
        if (inner === 1) name = text(from, to);
        if (inner === 3) this.#relate(bytes, from, to);
        if (inner !== 2) return;
        const range: number[] = [];
        let symbol = '';
        let roles = 0;
        eachField(bytes, from, to, (part, value, first, last) => {
          if (part === 1)
            for (let at = first, number = 0, shift = 0; at < last; at += 1) {
              const byte = bytes[at] ?? 0;
              number += (byte & 127) * 2 ** shift;
              shift += 7;
              if (byte > 127) continue;
              range.push(number);
              number = 0;
              shift = 0;
            }
          else if (part === 2) symbol = text(first, last);
          else if (part === 3) roles = value;
        });
        const [line = 0, character = 0, third = 0, fourth] = range;
        const whole = fourth === undefined ? ([line, third] as const) : ([third, fourth] as const);
        occurrences.push({ range: [line, character, ...whole], symbol, defines: (roles & 1) === 1 });
      });
      this.#documents.set(name, occurrences);
    });
  }

  /** Reads what a document says of a symbol. */
  #relate(bytes: Buffer, start: number, end: number): void {
    let symbol = '';
    eachField(bytes, start, end, (field, _, from, to) => {
      if (field === 1) symbol = bytes.toString('utf8', from, to);
      if (field !== 4) return;
      let target = '';
      let isReference = false;
      eachField(bytes, from, to, (part, value, first, last) => {
        if (part === 1) target = bytes.toString('utf8', first, last);
        if (part === 2) isReference = value === 1;
      });
      // What only one document knows is related to nothing.
      if (isReference && ![symbol, target].some((one) => one.startsWith('local ')))
        this.#related.set(symbol, [...(this.#related.get(symbol) ?? []), target]);
    });
  }

  /** Returns a place in every so many of the occurrences, in the order of the index. */
  sample(count: number): Place[] {
    const total = [...this.#documents.values()].reduce((sum, { length }) => sum + length, 0);
    const places: Place[] = [];
    let seen = 0;
    for (const [path, occurrences] of this.#documents)
      for (const { range } of occurrences) {
        seen += 1;
        if (seen * count >= (places.length + 1) * total)
          places.push({ path, line: range[0], character: range[1] });
      }
    return places;
  }

  /** Returns where the symbols at a place are defined: path, line and character of each, sorted. */
  definitions(place: Place): string[] {
    return this.#find(place, new Set(this.#around(place).map(({ symbol }) => symbol)), true);
  }

  /** Returns where the symbols of the narrowest range at a place, and those that they are related to, are referred to. */
  references(place: Place): string[] {
    const around = this.#around(place);
    const size = ({ range: [line, character, endLine, endCharacter] }: Occurrence) =>
      (endLine - line) * 1e6 + endCharacter - character;
    const least = Math.min(...around.map(size));
    const symbols = around.filter((one) => size(one) === least).map(({ symbol }) => symbol);
    const related = symbols.flatMap((symbol) => this.#related.get(symbol) ?? []);
    return this.#find(place, new Set([...symbols, ...related]), false);
  }

  #around({ path, line, character }: Place): Occurrence[] {
    return (this.#documents.get(path) ?? []).filter(
      ({ range: [from, start, to, end] }) =>
        (line > from || (line === from && character >= start)) &&
        (line < to || (line === to && character < end)),
    );
  }

  #find({ path: own }: Place, symbols: ReadonlySet<string>, defines: boolean): string[] {
    const found = new Set<string>();
    for (const [path, occurrences] of this.#documents)
      for (const one of occurrences)
        if (
          one.defines === defines &&
          symbols.has(one.symbol) &&
          (path === own || !one.symbol.startsWith('local '))
        )
          found.add(`${path}:${one.range[0]}:${one.range[1]}`);
    return [...found].sort();
  }
}
