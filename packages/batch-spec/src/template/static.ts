import { functions } from './functions.ts';
import { parseTemplate } from './parse.ts';
import type { Node, Pipeline, Term } from './syntax.ts';
import { Float, textOf, type Value } from './value.ts';

/** Functions whose value is known if those of their arguments are, and how many arguments they then have; null: any number. */
const known: Readonly<Record<string, number | null>> = {
  ...{ eq: 2, ne: 2, not: 1 },
  ...{ join: null, split: null, replace: null, join_if: null, matches: null },
};

/**
 * Returns what a template yields whatever happens while the steps run; null: that is not known before. Only upstream's choice of functions and
 * variables counts as known, so that both skip the same steps. `variables`: by `NAME.FIELD`. Errors: `template_invalid`.
 */
export function staticText(
  template: string,
  names: ReadonlySet<string>,
  variables: ReadonlyMap<string, Value>,
): string | null {
  const texts: string[] = [];
  for (const node of parseTemplate(template, names)) {
    const text = textOfNode(node, variables);
    if (text === null) return null;
    texts.push(text);
  }
  return texts.join('');
}

function textOfNode(node: Node, variables: ReadonlyMap<string, Value>): string | null {
  if (node.kind === 'text') return node.text;
  if (node.kind !== 'print' || node.pipeline.variables.length > 0) return null;
  const value = ofPipeline(node.pipeline, variables);
  return value === undefined ? null : textOf(value);
}

function ofPipeline({ commands, variables: stored }: Pipeline, variables: ReadonlyMap<string, Value>) {
  const [command, ...others] = commands;
  if (command === undefined || others.length > 0 || stored.length > 0) return undefined;
  return ofCommand(command, variables);
}

/** Returns the value of a command; undefined: it is not known. */
function ofCommand(
  [first, ...rest]: readonly Term[],
  variables: ReadonlyMap<string, Value>,
): Value | undefined {
  if (first === undefined) return undefined;
  if (rest.length === 0 && first.kind !== 'name') return ofTerm(first, variables);
  if (first.kind !== 'name' || !Object.hasOwn(known, first.name)) return undefined;
  const count = known[first.name];
  if (count !== null && rest.length !== count) return undefined;
  const values: Value[] = [];
  for (const term of rest) {
    const value = ofTerm(term, variables);
    if (value === undefined) return undefined;
    values.push(value);
  }
  // Upstream compares numbers here whatever their types, and refuses that when the step runs.
  const [a, b] = values.map((value) => (value instanceof Float ? value.number : value));
  if (typeof a === 'number' && typeof b === 'number' && (first.name === 'eq' || first.name === 'ne'))
    return (a === b) === (first.name === 'eq');
  try {
    return functions[first.name]?.(values.map((value) => () => value));
  } catch {
    return undefined; // the step says what is wrong
  }
}

function ofTerm(term: Term, variables: ReadonlyMap<string, Value>): Value | undefined {
  if (term.kind === 'literal') {
    const { value } = term;
    return typeof value === 'object' && value !== null ? new Float(value.float) : value;
  }
  if (term.kind === 'pipeline') return ofPipeline(term.pipeline, variables);
  if (term.kind === 'field' && term.of.kind === 'name') return variables.get(`${term.of.name}.${term.name}`);
  return undefined;
}
