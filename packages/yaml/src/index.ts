import { isMap, isNode, LineCounter, parseDocument, visit } from 'yaml';

/** A place in a text. Lines and columns count from 1. */
export interface Place {
  readonly line: number;
  readonly column: number;
}

/** Steps from the top of a document to a value: keys of maps and indexes of lists. */
export type Path = readonly (string | number)[];

/** What is wrong with a text that is no YAML. */
export interface YamlFault {
  /** Null: no place can be told. */
  readonly place: Place | null;
  readonly message: string;
}

/** A text that was read, or what is wrong with it: at least one fault. */
export type YamlText =
  | {
      readonly value: unknown;
      /** Returns where the value at a path begins, or the nearest value around it; with `key`, where this key of the map at the path does. */
      placeOf(path: Path, key?: string): Place;
    }
  | { readonly faults: readonly [YamlFault, ...YamlFault[]] };

/** Aliases of a document: more could make a small text a huge value. */
const aliasesMax = 100;

/**
 * Reads one YAML document, which a JSON text is, too. A key that its map has twice is a fault. `merge`: the key `<<` takes over the
 * fields of another map. The time it takes grows with the length of the text alone.
 */
export function readYaml(text: string, { merge }: { readonly merge: boolean }): YamlText {
  const lines = new LineCounter();
  const placeAt = (offset: number): Place => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  // The library compares each key of a map with each other one; `findRepeatedKey` needs one pass.
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: false, merge });
  const [first, ...more] = document.errors.map((error) => ({
    place: placeAt(error.pos[0]),
    message: faultOf(error.message),
  }));
  if (first) return { faults: [first, ...more] };
  const repeated = findRepeatedKey(document);
  if (repeated) {
    const message = `the key ${repeated.key} is there twice`;
    return { faults: [{ place: placeAt(repeated.offset), message }] };
  }
  try {
    return {
      value: document.toJS({ maxAliasCount: aliasesMax }),
      placeOf: (path, key) => placeAt(offsetOf(document, path, key)),
    };
  } catch (error) {
    return { faults: [{ place: null, message: faultOf((error as Error).message) }] };
  }
}

/** Returns what the library says, in one line that does not speak of its functions. */
function faultOf(message: string): string {
  if (message.includes('call stack')) return 'it is nested too deeply';
  if (message.includes('multiple documents')) return 'there is a second document';
  return message.split('\n')[0] ?? '';
}

type Document = ReturnType<typeof parseDocument>;
/** A key of a map, as the library has it. */
interface Key {
  readonly value?: unknown;
  readonly range?: [number, number, number];
}

/** Returns where the node at a path, or the nearest one around it, begins in the text. */
function offsetOf(document: Document, path: Path, key?: string): number {
  for (let length = path.length; length >= 0; length -= 1) {
    const node = length === 0 ? document.contents : document.getIn(path.slice(0, length), true);
    if (!isNode(node)) continue;
    if (key !== undefined && length === path.length && isMap(node)) {
      const pair = node.items.find((one) => (one.key as Key).value === key);
      const range = (pair?.key as Key | undefined)?.range;
      if (range) return range[0];
    }
    return node.range?.[0] ?? 0;
  }
  return 0;
}

/** Returns the first key that its map has twice, and its place. */
function findRepeatedKey(document: Document): { key: string; offset: number } | null {
  let found: { key: string; offset: number } | null = null;
  visit(document, {
    Map(_, map) {
      const keys = new Set<string>();
      for (const { key } of map.items) {
        const { value, range } = key as Key;
        if (typeof value === 'symbol') continue; // `<<`, which may be there several times
        const name = String(value);
        if (keys.has(name)) {
          found = { key: name, offset: range?.[0] ?? 0 };
          return visit.BREAK;
        }
        keys.add(name);
      }
      return undefined;
    },
  });
  return found;
}
