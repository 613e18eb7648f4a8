import { readYaml } from '@fumehood/yaml';
import type { Step } from './spec.ts';
import { templateInvalid } from './template/errors.ts';
import { type ValueMap, valueFrom } from './template/value.ts';

type Format = NonNullable<Step['outputs']>[string]['format'];

/** Lists and maps of an output that may be in each other: the database stores no value that is nested without end. */
const nestingMax = 500;

/** Returns what an output of a step is, as JSON has it, by its rendered text. Errors: `template_invalid` for a text that is not of its format. */
export function parseOutput(text: string, format: Format): unknown {
  if (format === undefined || format === 'text') return text;
  const value = format === 'json' ? parseJson(text) : parseYaml(text);
  if (isDeeper(value, nestingMax))
    throw templateInvalid(`the output is nested more than ${nestingMax} deep`, null);
  return value;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw templateInvalid(`the output is no JSON: ${(error as Error).message}`, null);
  }
}

function parseYaml(text: string): unknown {
  const yaml = readYaml(text, { merge: true });
  if ('faults' in yaml) throw templateInvalid(`the output is no YAML: ${yaml.faults[0].message}`, null);
  return yaml.value ?? null;
}

/** Returns whether more lists and maps than this are in each other. */
function isDeeper(value: unknown, max: number): boolean {
  let level = [value].filter(isNested);
  for (let depth = 0; depth < max; depth += 1)
    level = level.flatMap((one) => Object.values(one).filter(isNested));
  return level.length > 0;
}

const isNested = (value: unknown): value is object => typeof value === 'object' && value !== null;

/** Returns outputs that were stored as JSON as templates know them. `steps`: those that may have made them. */
export function outputsFrom(stored: Readonly<Record<string, unknown>>, steps: readonly Step[]): ValueMap {
  const formats = new Map(
    steps.flatMap(({ outputs }) => Object.entries(outputs ?? {}).map(([name, { format }]) => [name, format])),
  );
  return new Map(
    Object.entries(stored).map(([name, value]) => [name, valueFrom(value, formats.get(name) !== 'yaml')]),
  );
}
