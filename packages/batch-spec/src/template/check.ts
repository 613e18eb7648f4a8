import { FumehoodError } from '@fumehood/base';
import { parseTemplate } from './parse.ts';
import type { Node, Pipeline, Term } from './syntax.ts';

/** What is wrong with a template whatever its variables are. `offset`: where in it, UTF-16 code units. */
export interface TemplateFault {
  readonly message: string;
  readonly offset: number;
}

/** The fields of the variables that a template may use; null: it may have any. */
export type Fields = ReadonlyMap<string, readonly string[] | null>;

/** Functions that need not evaluate their arguments behind the first. */
const lazy = new Set(['and', 'or']);

/**
 * Returns what is wrong with a template before it is known what its variables are: it cannot be read, it names a function or a variable that
 * there is not, or a field that its variable never has. A field that the template may never ask for is left to the step that runs. `functions`: their names.
 */
export function faultsOf(template: string, functions: readonly string[], fields: Fields): TemplateFault[] {
  try {
    const nodes = parseTemplate(template, new Set([...functions, ...fields.keys()]));
    return [...nodeFaults(nodes, fields)];
  } catch (error) {
    if (!(error instanceof FumehoodError)) throw error;
    const [, unknown] = /^function "(.*)" not defined$/.exec(error.message) ?? [];
    const message = unknown === undefined ? error.message : unknownVariable(unknown);
    return [{ message, offset: Number(error.details.offset ?? 0) }];
  }
}

const unknownVariable = (name: string) => `unknown templating variable: '${name}'`;

/** Yields the faults of what is evaluated in any case. */
function* nodeFaults(nodes: readonly Node[], fields: Fields): Generator<TemplateFault> {
  for (const node of nodes) if ('pipeline' in node) yield* pipelineFaults(node.pipeline, fields);
}

function* pipelineFaults({ commands }: Pipeline, fields: Fields): Generator<TemplateFault> {
  for (const terms of commands) {
    const [first] = terms;
    const isLazy = first?.kind === 'name' && lazy.has(first.name);
    for (const term of isLazy ? terms.slice(0, 2) : terms) yield* termFaults(term, fields);
  }
}

function* termFaults(term: Term, fields: Fields): Generator<TemplateFault> {
  if (term.kind === 'pipeline') yield* pipelineFaults(term.pipeline, fields);
  if (term.kind !== 'field') return;
  const { of, name, offset } = term;
  if (of.kind !== 'name') yield* termFaults(of, fields);
  const known = of.kind === 'name' ? fields.get(of.name) : null;
  if (of.kind === 'name' && known && !known.includes(name))
    yield {
      message: `${unknownVariable(`${of.name}.${name}`)} (${of.name} has ${known.toSorted().join(', ') || 'none so far'})`,
      offset,
    };
}
