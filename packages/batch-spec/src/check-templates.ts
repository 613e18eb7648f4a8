import { factsOf } from '@fumehood/base';
import { checkChangesetTemplate, checkStepTemplate } from './render.ts';
import type { BatchSpec, ChangesetTemplate, Step } from './spec.ts';
import { templateInvalid } from './template/errors.ts';

/**
 * Checks that all templates of a batch spec can be read, and that they name only functions and variables that there are. As upstream, the instance
 * finds that out when it renders them, and by then steps may have run. Errors: `template_invalid`.
 */
export function checkTemplates({ steps = [], changesetTemplate }: BatchSpec): void {
  for (const [at, step] of steps.entries())
    for (const [field, template] of templatesOfStep(step))
      check(`steps.${at}.${field}`, template, checkStepTemplate);
  for (const [field, template] of templatesOfChangesets(changesetTemplate))
    check(`changesetTemplate.${field}`, template, checkChangesetTemplate);
}

type Templates = readonly (readonly [field: string, template: string])[];

function templatesOfStep({
  run,
  container,
  if: condition,
  env = [],
  files = {},
  outputs = {},
}: Step): Templates {
  const variables = (Array.isArray(env) ? env : [env]).flatMap((one) =>
    typeof one === 'string' ? [] : Object.entries(one),
  );
  return [
    ['run', run],
    ['container', container],
    ...(typeof condition === 'string' ? ([['if', condition]] as const) : []),
    ...variables.map(([name, value]) => [`env.${name}`, value] as const),
    ...Object.entries(files).map(([name, text]) => [`files.${name}`, text] as const),
    ...Object.entries(outputs).map(([name, { value }]) => [`outputs.${name}.value`, value] as const),
  ];
}

function templatesOfChangesets(template: ChangesetTemplate | undefined): Templates {
  if (template === undefined) return [];
  const { title, body = '', branch, commit } = template;
  const { name = '', email = '' } = commit.author ?? {};
  return [
    ['title', title],
    ['body', body],
    ['branch', branch],
    ['commit.message', commit.message],
    ['commit.author.name', name],
    ['commit.author.email', email],
  ];
}

function check(field: string, template: string, read: (template: string) => void): void {
  try {
    read(template);
  } catch (error) {
    throw templateInvalid(`${field}: ${factsOf(error).message}`, null);
  }
}
