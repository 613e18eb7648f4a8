import { FumehoodError } from '@fumehood/base';
import { LineCounter, parseDocument, visit } from 'yaml';
import { indexConfigSchema, type IndexJobSpec } from './spec.ts';

/** Bytes of a configuration that are read. */
export const configBytesMax = 262_144;

/** Names of fields that upstream has or had, and ours for them. */
const otherNames: Readonly<Record<string, string>> = {
  requested_envvars: 'requestedEnvVars',
  indexing_jobs: 'index_jobs',
};

function configInvalid(file: string, where: string, why: string): FumehoodError {
  return new FumehoodError({
    status: 400,
    code: 'index_config_invalid',
    message: `${file}${where}: ${why}`,
    remedy: 'docs/auto-indexing.md has the fields of an index configuration.',
  });
}

/**
 * Reads an index configuration: YAML, or JSON with comments and trailing commas, which YAML's flow style includes. `file` names it in errors. An
 * empty text has no jobs. Errors: `index_config_invalid`, with line and column.
 */
export function parseIndexConfig(text: string, file: string): IndexJobSpec[] {
  if (Buffer.byteLength(text) > configBytesMax)
    throw configInvalid(file, '', `has more than ${configBytesMax} bytes`);
  const lines = new LineCounter();
  const at = (offset: number | undefined) => {
    if (offset === undefined) return '';
    const { line, col } = lines.linePos(offset);
    return `:${line}:${col}`;
  };
  // The library compares each key of a map with each other one; `findRepeatedKey` needs one pass.
  const document = parseDocument(withoutComments(text), { lineCounter: lines, uniqueKeys: false });
  const [broken] = document.errors;
  if (broken) throw configInvalid(file, at(broken.pos[0]), broken.message.split('\n')[0] ?? '');
  const repeated = findRepeatedKey(document);
  if (repeated) throw configInvalid(file, at(repeated.offset), `the key ${repeated.key} is there twice`);
  let value: unknown;
  try {
    value = renamed(document.toJS({ maxAliasCount: 100 }));
  } catch (error) {
    throw configInvalid(file, '', (error as Error).message);
  }
  const parsed = indexConfigSchema.safeParse(value ?? {});
  if (parsed.success) return parsed.data.index_jobs;
  const [issue] = parsed.error.issues;
  const path = (issue?.path ?? []) as (string | number)[];
  const node = document.getIn(path, true) as { range?: [number, number, number] } | undefined;
  throw configInvalid(
    file,
    at(node?.range?.[0]),
    `${path.join('.') || 'the configuration'}: ${issue?.message}`,
  );
}

/** Returns a JSON text whose comments are blanks, so that places stay; another text as it is. */
function withoutComments(text: string): string {
  if (!/^\s*(?:[{[]|\/\/|\/\*)/.test(text)) return text;
  const tokens = /"(?:[^"\\\n]|\\.)*"|(?<=^|[\s,{}[\]])\/\/[^\n]*|\/\*[^]*?\*\//g;
  return text.replace(tokens, (token) => (token.startsWith('"') ? token : token.replace(/[^\n]/g, ' ')));
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

/** Returns the document with our names of its fields. */
function renamed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(renamed);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, field]) => [otherNames[key] ?? key, renamed(field)]),
  );
}
