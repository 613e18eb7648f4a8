import { expect, it } from 'vitest';
import { checkTemplates } from './check-templates.ts';
import { parseBatchSpec } from './parse.ts';

const specWith = (step: object, template: object = {}) =>
  parseBatchSpec(
    JSON.stringify({
      name: 'greet',
      steps: [{ run: 'true', container: 'alpine:3', ...step }],
      changesetTemplate: { title: 'a', branch: 'b', commit: { message: 'c' }, ...template },
    }),
  );

it.each([
  ['steps.0.run', { run: 'echo ${{ repositry.name }}' }, {}],
  ['steps.0.run', { run: 'echo ${{ repository.name' }, {}],
  ['steps.0.if', { if: '${{ eqq repository.name "a" }}' }, {}],
  ['steps.0.container', { container: '${{ image }}' }, {}],
  ['steps.0.files.a', { files: { a: '${{ x }}' } }, {}],
  ['steps.0.outputs.n.value', { outputs: { n: { value: '${{ stp.stdout }}' } } }, {}],
  ['steps.0.env.A', { env: [{ A: '${{ x }}' }, 'B'] }, {}],
  ['changesetTemplate.title', {}, { title: '${{ step.stdout }}' }],
  ['changesetTemplate.commit.message', {}, { commit: { message: '${{ title }}' } }],
])('a mistake in the template %s is told with the field', (field, step, template) => {
  expect(() => checkTemplates(specWith(step, template))).toThrow(
    expect.objectContaining({ code: 'template_invalid', message: expect.stringContaining(`${field}: `) }),
  );
});

it('templates that can be read are none', () => {
  const step = {
    run: 'echo ${{ join previous_step.modified_files " " }} ${{ outputs.n }} ${{ batch_change.name }}',
    if: true,
    outputs: { n: { value: '${{ step.stdout }}' } },
  };
  expect(() =>
    checkTemplates(specWith(step, { body: '${{ batch_change_link }} ${{ steps.path }}' })),
  ).not.toThrow();
});
