import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { checkBatchSpec, parseBatchSpec } from './parse.ts';

const changesets = `changesetTemplate:
  title: t
  branch: b
  commit: {message: m}
`;
/** A batch spec of one step with this command. The step begins at line 2. */
const withRun = (run: string) =>
  `name: a\nsteps:\n  - container: alpine:3\n    run: |\n      echo one\n      ${run}\n${changesets}`;
const withStep = (fields: string) => `name: a\nsteps:\n  - run: x\n    ${fields}\n${changesets}`;

describe('a batch spec that can run nowhere is refused', () => {
  test.each([
    ['${{ repositry.name }}', "6:7: steps.0.run: unknown templating variable: 'repositry'"],
    [
      'a ${{ repository.nme }}',
      "6:9: steps.0.run: unknown templating variable: 'repository.nme' (repository has",
    ],
    ['${{ step.modified_file }}', "'step.modified_file' (step has added_files, deleted_files, modified"],
    ['${{ join steps.path1 "x" }}', "'steps.path1'"],
    ['${{ outputs.none }}', "'outputs.none' (outputs has none so far)"],
    ['${{ joined "a" }}', "unknown templating variable: 'joined'"],
    ['${{ repository.name }} ${{ if true }}', '6:30: steps.0.run: unexpected EOF'],
    ['${{ and repository.x true }}', "'repository.x'"],
    ['${{ eq (len previous_step.out) 1 }}', "'previous_step.out'"],
    ['${{ batch_change_link }}', "'batch_change_link'"],
  ])('%s: %s', (run, message) => {
    expect(() => checkBatchSpec(withRun(run))).toThrow(message);
    // Those that were stored before are read as ever.
    expect(parseBatchSpec(withRun(run)).name).toBe('a');
  });

  test.each([
    [
      'container: alpine:${{ outputs.x }}',
      "4:23: steps.0.container: unknown templating variable: 'outputs': images are",
    ],
    [
      'container: "a:${{ steps.added_files }}"',
      "'steps.added_files' (steps has path): images are fetched before",
    ],
    ['container: "a:${{ previous_step.stdout }}"', 'images are fetched before the first step runs'],
    ['container: "a:${{ nme }}"', "steps.0.container: unknown templating variable: 'nme'"],
    ['container: a\n    if: ${{ eq repository.x 1 }}', '5:9: steps.0.if: unknown'],
    [
      'container: a\n    env: [A, {B: "${{ x }}"}]',
      "5:19: steps.0.env.1.B: unknown templating variable: 'x'",
    ],
    [
      'container: a\n    files: {/a.txt: "${{ x }}"}',
      "steps.0.files./a.txt: unknown templating variable: 'x'",
    ],
    ['container: a\n    outputs: {o: {value: "${{ step.x }}"}}', 'steps.0.outputs.o.value: unknown'],
  ])('%s: %s', (fields, message) => {
    expect(() => checkBatchSpec(withStep(fields))).toThrow(message);
  });

  test.each([
    [
      'title: ${{ previous_step.stdout }}',
      "changesetTemplate.title: unknown templating variable: 'previous_step'",
    ],
    [
      'title: ${{ steps.stdout }}',
      "'steps.stdout' (steps has added_files, deleted_files, modified_files, path",
    ],
    ['title: ${{ outputs.none }}', "'outputs.none'"],
  ])('a changeset with %s: %s', (title, message) => {
    const text = withRun('true').replace('title: t', title);
    expect(() => checkBatchSpec(text)).toThrow(message);
  });

  test('for more images than a VM has room for', () => {
    const steps = (count: number) =>
      Array.from({ length: count }, (_, at) => `  - {run: x, container: "image:${at}"}`).join('\n');
    const text = (count: number) => `name: a\nsteps:\n${steps(count)}\n${changesets}`;
    expect(checkBatchSpec(text(16)).steps).toHaveLength(16);
    expect(() => checkBatchSpec(text(17))).toThrow(
      'steps: the steps have 17 images, and a VM has room for 16',
    );
  });
});

describe('a batch spec that may run is taken', () => {
  test.each([
    // A field that only some repositories ask for.
    '${{ if eq repository.name "x" }}${{ repository.nope }}${{ end }}',
    '${{ or true repository.nope }}',
    '${{ range steps.added_files }}${{ repository.nope }}${{ end }}',
    '${{ index outputs "none" }}',
    '${{ $x := repository }}${{ $x.nope }}',
    '${{ "${{ ignore_me }}" }} {{ x }} $HOME ${x}',
    '${{ join repository.search_result_paths "\\n" }} ${{ index steps.modified_files 1 }}',
    '${{ previous_step.stderr }} ${{ step.stdout }} ${{ steps.stdout }} ${{ batch_change.description }}',
  ])('%s', (run) => {
    expect(checkBatchSpec(withRun(run)).name).toBe('a');
  });

  test('with outputs of earlier steps, also in its changesets', () => {
    const text = `name: a
steps:
  - {run: x, container: "alpine:\${{ repository.branch }}", outputs: {one: {value: x}, two: {value: "\${{ outputs.one }}"}}}
  - {run: "\${{ outputs.one }} \${{ outputs.two.deep.x }}", container: "\${{ steps.path }}", if: "\${{ outputs.one }}"}
${changesets.replace('title: t', 'title: ${{ outputs.two }} ${{ batch_change_link }}')}`;
    expect(checkBatchSpec(text).steps).toHaveLength(2);
    const early = text.replace('run: x', 'run: "${{ outputs.one }}"');
    expect(() => checkBatchSpec(early)).toThrow(
      "3:12: steps.0.run: unknown templating variable: 'outputs.one'",
    );
  });
});

test('a place in a template is one of the text, whatever the text', () => {
  const piece = fc.constantFrom(
    '${{ ',
    ' }}',
    'x',
    'repository.nme',
    '\\n',
    '"',
    "'",
    '#',
    ' ',
    'outputs.x',
    'ü😀',
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
      const text = `name: a\nsteps: [{container: a, run: ${JSON.stringify(pieces.join(''))}}]\n${changesets}`;
      try {
        checkBatchSpec(text);
      } catch (error) {
        const { issues } = (error as { details: { issues: { line: number; column: number }[] } }).details;
        const [first] = issues;
        expect(text.split('\n')[(first?.line ?? 0) - 1]?.slice((first?.column ?? 0) - 1)).toMatch(
          /^(?:\$\{\{|")/,
        );
      }
    }),
    { numRuns: 300 },
  );
});
