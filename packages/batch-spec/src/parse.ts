import { isMap, isNode, LineCounter, parseDocument, visit } from 'yaml';
import { type SpecIssue, specInvalid } from './errors.ts';
import { type BatchSpec, batchSpecSchema } from './spec.ts';

/** Bytes of a batch spec. */
const specBytesMax = 1_048_576;
/** Issues that an error has at most. */
const issuesMax = 20;

/**
 * Reads a batch spec, YAML or JSON, of version 1 or 2. Errors: `batch_spec_invalid`, with the line and column of each issue.
 */
export function parseBatchSpec(text: string): BatchSpec {
  const nowhere = (message: string) => specInvalid([{ line: 1, column: 1, path: '', message }]);
  if (Buffer.byteLength(text) > specBytesMax) throw nowhere(`a batch spec has at most ${specBytesMax} bytes`);
  const lines = new LineCounter();
  const at = (offset: number): Pick<SpecIssue, 'line' | 'column'> => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  // The library compares each key of a map with each other one; `findRepeatedKey` needs one pass.
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: false, merge: true });
  const broken = document.errors.slice(0, issuesMax);
  if (broken.length > 0)
    throw specInvalid(
      broken.map((error) => ({ ...at(error.pos[0]), path: '', message: error.message.split('\n')[0] ?? '' })),
    );
  const repeated = findRepeatedKey(document);
  if (repeated !== null)
    throw specInvalid([
      { ...at(repeated.offset), path: '', message: `the key ${repeated.key} is there twice` },
    ]);
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: 100 });
  } catch (error) {
    throw nowhere((error as Error).message);
  }
  const parsed = batchSpecSchema.safeParse(value ?? {});
  if (parsed.success) return parsed.data;
  throw specInvalid(
    parsed.error.issues
      .flatMap(issuesFrom)
      .slice(0, issuesMax)
      .map(({ path, message, key }) => ({
        ...at(offsetOf(document, path, key)),
        path: path.join('.'),
        message,
      })),
  );
}

type Path = readonly (string | number)[];
interface Issue {
  readonly path: Path;
  readonly message: string;
  /** The issue is about this key of the map at `path`. */
  readonly key?: string;
}

/** Says what the schema found, in words that do not name the library's. */
function issuesFrom(issue: {
  readonly code?: string | undefined;
  readonly path: readonly PropertyKey[];
  readonly message: string;
  readonly keys?: readonly string[];
  readonly expected?: string;
  readonly input?: unknown;
}): Issue[] {
  const path = issue.path as Path;
  if (issue.code === 'unrecognized_keys')
    return (issue.keys ?? []).map((key) => ({
      path,
      message: `Additional property ${key} is not allowed`,
      key,
    }));
  if (issue.code === 'invalid_type' && issue.message.endsWith('received undefined'))
    return [{ path: path.slice(0, -1), message: `${String(path.at(-1))} is required` }];
  if (issue.code === 'invalid_type')
    return [{ path, message: `must be ${kinds[issue.expected ?? ''] ?? issue.expected}` }];
  if (issue.code === 'too_small') return [{ path, message: 'must not be empty' }];
  return [{ path, message: issue.message }];
}

const kinds: Readonly<Record<string, string>> = {
  string: 'a text',
  array: 'a list',
  object: 'a map',
  record: 'a map',
  boolean: 'true or false',
  int: 'a whole number',
};

/** Returns where the node at a path, or the nearest one around it, begins in the text. */
function offsetOf(document: ReturnType<typeof parseDocument>, path: Path, key?: string): number {
  for (let length = path.length; length >= 0; length -= 1) {
    const node = length === 0 ? document.contents : document.getIn(path.slice(0, length), true);
    if (!isNode(node)) continue;
    if (key !== undefined && length === path.length && isMap(node)) {
      const pair = node.items.find((one) => (one.key as { value?: unknown }).value === key);
      const range = (pair?.key as { range?: [number, number, number] } | undefined)?.range;
      if (range) return range[0];
    }
    return node.range?.[0] ?? 0;
  }
  return 0;
}

/** Returns the first key that its map has twice, and its place. */
function findRepeatedKey(document: ReturnType<typeof parseDocument>): { key: string; offset: number } | null {
  let found: { key: string; offset: number } | null = null;
  visit(document, {
    Map(_, map) {
      const keys = new Set<string>();
      for (const { key } of map.items) {
        const { value, range } = key as { value?: unknown; range?: [number, number, number] };
        const name = String(value);
        if (name !== '<<' && keys.has(name)) {
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
