import { isLocal, type SymbolInformation } from '@fumehood/scip';
import {
  type RelationKind,
  relationKinds,
  type StoredDescription,
  type StoredRelation,
} from './sql/documents.ts';
import { symbolKey } from './symbol-key.ts';

/** Longest description of a symbol that is stored, characters. */
const descriptionMax = 20_000;
/** Most symbols that a symbol is related to, of a kind. */
const targetsMax = 10;

/** Returns a text as it is stored. PostgreSQL refuses NUL, and half of a surrogate pair, which the end may cut. */
export const storedText = (text: string): string =>
  text.replaceAll('\0', '').slice(0, descriptionMax).toWellFormed();

/** Returns what is shown of a symbol, as Markdown: its signature and its documentation. */
function describe({ documentation, signatureDocumentation }: SymbolInformation): string {
  const { language = '', text: code = '' } = signatureDocumentation ?? {};
  const signature = code === '' ? [] : [`\`\`\`${language}\n${code}\n\`\`\``];
  return storedText([...signature, ...documentation].join('\n\n'));
}

/** What is stored of the symbols that a document describes. A symbol with a NUL is not stored: PostgreSQL's text type holds every other character. */
export class Descriptions {
  readonly list: StoredDescription[] = [];
  /** What each symbol implements. */
  readonly implemented = new Map<string, string[]>();
  readonly #relations = new Map<string, StoredRelation>();

  add(information: SymbolInformation): void {
    const { symbol, relationships } = information;
    if (symbol.includes('\0')) return;
    const text = describe(information);
    if (text !== '') this.list.push([symbol, text]);
    const targets = relationships.filter(
      (one) => !isLocal(one.symbol) && one.symbol !== '' && !one.symbol.includes('\0'),
    );
    const symbolsOf = (which: typeof targets) => which.map((one) => one.symbol);
    const implemented = symbolsOf(targets.filter((one) => one.isImplementation));
    if (implemented.length > 0) this.implemented.set(symbol, implemented);
    if (isLocal(symbol)) return;
    this.#relate(symbol, relationKinds.references, symbolsOf(targets.filter((one) => one.isReference)));
    this.#relate(symbol, relationKinds.definition, symbolsOf(targets.filter((one) => one.isDefinition)));
  }

  get relations(): StoredRelation[] {
    return [...this.#relations.values()];
  }

  #relate(symbol: string, kind: RelationKind, targets: readonly string[]): void {
    if (targets.length === 0) return;
    const key = `${kind}${symbol}`;
    const known = this.#relations.get(key)?.targets ?? [];
    const all = [...new Set([...known, ...targets])].slice(0, targetsMax);
    this.#relations.set(key, { symbol: symbolKey(symbol), kind, targets: all });
  }
}
