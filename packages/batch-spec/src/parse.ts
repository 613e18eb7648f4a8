import { type Path, type Place, readYaml } from '@fumehood/yaml';
import { issuesOf, placeOfExpression } from './check.ts';
import { specInvalid } from './errors.ts';
import { type BatchSpec, batchSpecSchema } from './spec.ts';

/** Bytes of a batch spec. */
const specBytesMax = 1_048_576;
/** Issues that an error has at most. */
const issuesMax = 20;

/**
 * Reads a batch spec, YAML or JSON, of version 1 or 2. Errors: `batch_spec_invalid`, with the line and column of each issue.
 */
export function parseBatchSpec(text: string): BatchSpec {
  return read(text).spec;
}

/**
 * Reads a batch spec that is to run, and refuses also one that can run nowhere, as `issuesOf` finds it. Errors: as of `parseBatchSpec`.
 */
export function checkBatchSpec(text: string): BatchSpec {
  const { spec, placeOf } = read(text);
  const issues = issuesOf(spec).slice(0, issuesMax);
  if (issues.length === 0) return spec;
  throw specInvalid(
    issues.map(({ path, message, template }) => {
      const from = placeOf(path);
      const place = template === null ? from : placeOfExpression(text, from, template);
      return { ...place, path: path.join('.'), message };
    }),
  );
}

function read(text: string): { spec: BatchSpec; placeOf: (path: Path) => Place } {
  const nowhere = { line: 1, column: 1 };
  const refused = (message: string) => specInvalid([{ ...nowhere, path: '', message }]);
  if (Buffer.byteLength(text) > specBytesMax) throw refused(`a batch spec has at most ${specBytesMax} bytes`);
  const yaml = readYaml(text, { merge: true });
  if ('faults' in yaml)
    throw specInvalid(
      yaml.faults
        .slice(0, issuesMax)
        .map(({ place, message }) => ({ ...(place ?? nowhere), path: '', message })),
    );
  const parsed = batchSpecSchema.safeParse(yaml.value ?? {});
  if (parsed.success) return { spec: parsed.data, placeOf: (path) => yaml.placeOf(path) };
  throw specInvalid(
    parsed.error.issues
      .flatMap(issuesFrom)
      .slice(0, issuesMax)
      .map(({ path, message, key }) => ({ ...yaml.placeOf(path, key), path: path.join('.'), message })),
  );
}

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
  readonly issues?: readonly { readonly message: string }[];
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
  if (issue.code === 'invalid_key') return (issue.issues ?? []).map(({ message }) => ({ path, message }));
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
