import type { Path, Place } from '@fumehood/yaml';
import { changesetFields, containerFields, stepFields } from './render.ts';
import type { BatchSpec, Step } from './spec.ts';
import { type Fields, faultsOf } from './template/check.ts';
import { functions } from './template/functions.ts';

/** The most images that the steps of a workspace have: each is a disk of its VM. */
const imagesMax = 16;

/** What says that a template uses a variable that steps give their values. */
const ofSteps = /'(?:outputs|previous_step|steps?)['.]/;

/** What is wrong at a field of a batch spec. `template`: the text of the field, and where in it, if it is about a template. */
export interface FieldIssue {
  readonly path: Path;
  readonly message: string;
  readonly template: { readonly text: string; readonly offset: number } | null;
}

/**
 * Returns what is wrong with a batch spec that has the right form: templates that cannot be evaluated in any repository, and more images than
 * a VM has room for.
 */
export function issuesOf({ steps = [], changesetTemplate }: BatchSpec): FieldIssue[] {
  const issues: FieldIssue[] = [];
  const names = Object.keys(functions);
  const check = (path: Path, text: unknown, fields: Fields, explain = (message: string) => message) => {
    if (typeof text !== 'string') return;
    for (const { message, offset } of faultsOf(text, names, fields))
      issues.push({ path, message: explain(message), template: { text, offset } });
  };
  const outputs: string[] = [];
  for (const [at, step] of steps.entries()) {
    const fields = stepFields(outputs);
    for (const [path, text] of textsOf(step)) check(['steps', at, ...path], text, fields);
    check(['steps', at, 'container'], step.container, containerFields, (message) =>
      ofSteps.test(message)
        ? `${message}: images are fetched before the first step runs, so a container can use repository, batch_change and steps.path alone`
        : message,
    );
    outputs.push(...Object.keys(step.outputs ?? {}));
    for (const [name, { value }] of Object.entries(step.outputs ?? {}))
      check(['steps', at, 'outputs', name, 'value'], value, stepFields(outputs));
  }
  if (changesetTemplate) {
    const { title, body, branch, commit } = changesetTemplate;
    const fields = changesetFields(outputs);
    for (const [name, text] of Object.entries({ title, body, branch }))
      check(['changesetTemplate', name], text, fields);
    check(['changesetTemplate', 'commit', 'message'], commit.message, fields);
    for (const [name, text] of Object.entries(commit.author ?? {}))
      check(['changesetTemplate', 'commit', 'author', name], text, fields);
  }
  const images = new Set(steps.map(({ container }) => container));
  if (images.size > imagesMax)
    issues.push({
      path: ['steps'],
      message: `the steps have ${images.size} images, and a VM has room for ${imagesMax}`,
      template: null,
    });
  return issues;
}

/** Returns the templates of a step that are rendered before it runs. */
function textsOf({ run, env, files, if: condition }: Step): [Path, unknown][] {
  const variables = Array.isArray(env)
    ? env.flatMap((one, at): [Path, unknown][] =>
        typeof one === 'string' ? [] : Object.entries(one).map(([name, value]) => [['env', at, name], value]),
      )
    : Object.entries(env ?? {}).map(([name, value]): [Path, unknown] => [['env', name], value]);
  const contents = Object.entries(files ?? {}).map(([name, value]): [Path, unknown] => [
    ['files', name],
    value,
  ]);
  return [[['run'], run], [['if'], condition], ...variables, ...contents];
}

/** Returns where in a text, from the place on where a field begins, the expression of its template begins that has this offset. */
export function placeOfExpression(
  text: string,
  from: Place,
  template: { readonly text: string; readonly offset: number },
): Place {
  const delimiter = '${{';
  const before = template.text.slice(0, template.offset + delimiter.length).split(delimiter).length - 1;
  const lines = text.split('\n');
  const start = lines.slice(0, from.line - 1).reduce((sum, line) => sum + line.length + 1, from.column - 1);
  let at = start - 1;
  for (let count = 0; count < before; count += 1) {
    at = text.indexOf(delimiter, at + 1);
    if (at < 0) return from;
  }
  const passed = text.slice(0, at).split('\n');
  return { line: passed.length, column: (passed.at(-1) ?? '').length + 1 };
}
