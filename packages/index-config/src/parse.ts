import { FumehoodError } from '@fumehood/base';
import { type Place, readYaml } from '@fumehood/yaml';
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
  const yaml = readYaml(withoutComments(text), { merge: false });
  if ('faults' in yaml) {
    const [{ place, message }] = yaml.faults;
    throw configInvalid(file, place ? at(place) : '', message);
  }
  const parsed = indexConfigSchema.safeParse(renamed(yaml.value) ?? {});
  if (parsed.success) return parsed.data.index_jobs;
  const [issue] = parsed.error.issues;
  const path = (issue?.path ?? []) as (string | number)[];
  const field = path.join('.') || 'the configuration';
  throw configInvalid(file, at(yaml.placeOf(path)), `${field}: ${issue?.message}`);
}

const at = ({ line, column }: Place) => `:${line}:${column}`;

/** Returns a JSON text whose comments are blanks, so that places stay; another text as it is. */
function withoutComments(text: string): string {
  if (!/^\s*(?:[{[]|\/\/|\/\*)/.test(text)) return text;
  const tokens = /"(?:[^"\\\n]|\\.)*"|(?<=^|[\s,{}[\]])\/\/[^\n]*|\/\*[^]*?\*\//g;
  return text.replace(tokens, (token) => (token.startsWith('"') ? token : token.replace(/[^\n]/g, ' ')));
}

/** Returns the document with our names of its fields. */
function renamed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(renamed);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, field]) => [otherNames[key] ?? key, renamed(field)]),
  );
}
