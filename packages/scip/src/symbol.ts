/** What the last descriptor of a symbol says: its name, and what it is. */
export interface Descriptor {
  readonly name: string;
  readonly kind: 'namespace' | 'type' | 'term' | 'method' | 'type parameter' | 'parameter' | 'meta' | 'macro';
}

const suffixes: readonly (readonly [end: RegExp, kind: Descriptor['kind']])[] = [
  [/\((?:[\w+$-]*)\)\.$/, 'method'],
  [/\/$/, 'namespace'],
  [/#$/, 'type'],
  [/\.$/, 'term'],
  [/:$/, 'meta'],
  [/!$/, 'macro'],
];

/** Returns what the last descriptor of a symbol says (the grammar of SCIP's symbols); null for a symbol of one document and for what is none. */
export function descriptorOf(symbol: string): Descriptor | null {
  if (isLocal(symbol)) return null;
  const bracketed = nameBefore(symbol, symbol.length - 1);
  if (bracketed !== null && symbol.endsWith(']')) return { name: bracketed, kind: 'type parameter' };
  if (bracketed !== null && symbol.endsWith(')')) return { name: bracketed, kind: 'parameter' };
  for (const [end, kind] of suffixes) {
    const at = symbol.search(end);
    const name = at < 0 ? null : nameBefore(symbol, at);
    if (name !== null) return { name, kind };
  }
  return null;
}

/** Returns the name that ends before `end`: letters, digits and `_+-$`, or anything in backticks, in which two stand for one. */
function nameBefore(symbol: string, end: number): string | null {
  if (symbol[end - 1] !== '`')
    return /[\w+$-]+$/.exec(symbol.slice(Math.max(0, end - 1_000), end))?.[0] ?? null;
  for (let at = end - 2; at >= 0; at -= 1) {
    if (symbol[at] !== '`') continue;
    if (symbol[at - 1] !== '`') return symbol.slice(at + 1, end - 1).replaceAll('``', '`');
    at -= 1;
  }
  return null;
}

/** Returns whether a symbol has a meaning in its own document only. */
export function isLocal(symbol: string): boolean {
  return symbol.startsWith('local ');
}

/** A version of a package that symbols belong to. */
export interface SymbolPackage {
  readonly manager: string;
  readonly name: string;
  readonly version: string;
}

/** Returns the package of a symbol; null for a symbol without a package's name or version, which says nothing beyond its own index. */
export function packageOf(symbol: string): SymbolPackage | null {
  if (isLocal(symbol)) return null;
  const [, manager, name, version] = fieldsOf(symbol);
  if (manager === undefined || !name || !version) return null;
  if (name === '.' || version === '.') return null;
  return { manager, name, version };
}

/** Returns the scheme, the manager, the name and the version. Each ends with one space; two stand for a space in it. */
function fieldsOf(symbol: string): string[] {
  const fields: string[] = [];
  let field = '';
  for (let at = 0; at < symbol.length && fields.length < 4 && field.length < 1_000; at += 1) {
    if (symbol[at] !== ' ') field += symbol[at];
    else if (symbol[at + 1] === ' ') {
      field += ' ';
      at += 1;
    } else {
      fields.push(field);
      field = '';
    }
  }
  return fields;
}
