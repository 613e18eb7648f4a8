import { createHash } from 'node:crypto';
import { packageOf, type SymbolInformation } from '@fumehood/scip';
import { Descriptions } from './descriptions.ts';
import { type NewDocument, useKinds } from './sql/documents.ts';
import { symbolKey } from './symbol-key.ts';

/** Characters of what one index says of symbols of other projects that are stored; what comes after them is only counted. */
const charactersMax = 32 * 2 ** 20;
/** Symbols of a document. */
const symbolsOfDocument = 500;

/** Gathers what an index says of symbols of other projects. */
export class ExternalSymbols {
  readonly #symbols = new Map<string, SymbolInformation>();
  #characters = 0;

  add(information: SymbolInformation): void {
    const { symbol, documentation, signatureDocumentation, relationships } = information;
    if (this.#symbols.has(symbol)) return;
    const texts = [
      symbol,
      signatureDocumentation?.text ?? '',
      ...documentation,
      ...relationships.map((one) => one.symbol),
    ];
    this.#characters += texts.reduce((sum, { length }) => sum + length, 0);
    if (this.#characters <= charactersMax) this.#symbols.set(symbol, information);
  }

  /** Yields documents without a file, each of symbols of one package, so that indexes which say the same of a package share them. */
  *documents(): Generator<NewDocument> {
    const packages = Map.groupBy(this.#symbols.keys(), (symbol) => JSON.stringify(packageOf(symbol)));
    for (const names of packages.values()) {
      names.sort();
      for (let at = 0; at < names.length; at += symbolsOfDocument)
        yield this.#document(names.slice(at, at + symbolsOfDocument));
    }
  }

  #document(names: readonly string[]): NewDocument {
    const descriptions = new Descriptions();
    for (const name of names) {
      const information = this.#symbols.get(name);
      if (information) descriptions.add(information);
    }
    const symbolsJson = JSON.stringify(descriptions.list);
    const { relations } = descriptions;
    const content = JSON.stringify([
      symbolsJson,
      relations.map(({ symbol, ...rest }) => [symbol.toString('hex'), rest]),
    ]);
    return {
      sha256: createHash('sha256').update('external symbols 1').update(content).digest(),
      path: '',
      parts: [],
      symbolsJson,
      uses: descriptions.list.map(([symbol]) => ({
        symbol: symbolKey(symbol),
        kind: useKinds.description,
        ranges: [],
      })),
      relations,
      occurrences: 0,
      symbols: 0,
    };
  }
}
