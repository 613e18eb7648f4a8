import { execFileSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import {
  isStepWanted,
  isStepWantedAnyway,
  renderChangesetText,
  renderStepText,
  type StepContext,
} from './render.ts';
import { valueFrom, type ValueMap } from './template/value.ts';

const none = { modified: [], added: [], deleted: [], renamed: [] };
const context: StepContext = {
  repository: {
    name: 'github.com/acme/api',
    branch: 'main',
    searchResultPaths: ['cmd/main.go', 'README.md'],
  },
  batchChange: { name: 'hello', description: 'Say hi' },
  outputs: valueFrom({ flag: 'true', cfg: { n: 3 } }, true) as ValueMap,
  path: 'services/api',
  changes: { ...none, modified: ['README.md', 'go/x.go'], renamed: ['new.txt'] },
  previousStep: { changes: { ...none, modified: ['a.go', 'c.go'] }, stdout: 'hello\n', stderr: '' },
  step: null,
};

describe('a template of a step', () => {
  test.each([
    ['${{ repository.search_result_paths }}', 'README.md cmd/main.go'],
    ['${{ batch_change.description }} ${{ steps.path }}', 'Say hi services/api'],
    ['${{ steps.renamed_files }} ${{ previous_step.stdout }}', '[new.txt] hello\n'],
    ['${{ step.stdout }}${{ steps.stdout }}', ''],
    ['  ${{ outputs.cfg.n }}  ', '  3  '],
  ])('%s', (template, expected) => {
    expect(renderStepText(template, context)).toBe(expected);
  });

  test('has the paths of files as words of a shell', () => {
    const added = ['plain.txt', 'a b', '$(reboot)', "it's; x", '~', ''];
    const shown = renderStepText('${{ join steps.added_files " " }}', {
      ...context,
      changes: { ...none, added },
    });
    const words = execFileSync('sh', [
      '-c',
      `for word in ${shown}; do printf '%s|' "$word"; done`,
    ]).toString();
    expect(words).toBe(added.map((one) => `${one}|`).join(''));
  });

  test('knows nothing of the link to the batch change', () => {
    expect(() => renderStepText('${{ batch_change_link }}', context)).toThrow('not defined');
  });
});

describe('a template of a changeset', () => {
  test.each([
    ['  hi ${{ repository.name }}  ', 'hi github.com/acme/api'],
    ['m ${{ join steps.modified_files " " }}', 'm README.md go/x.go'],
    ['B ${{ batch_change_link }}', 'B ${{ batch_change_link }}'],
  ])('%s', (template, expected) => {
    expect(renderChangesetText(template, context)).toBe(expected);
  });

  test.each([
    ['${{ previous_step.stdout }}', 'function "previous_step" not defined'],
    ['${{ steps.stdout }}', 'map has no entry for key "stdout"'],
  ])('%s fails', (template, message) => {
    expect(() => renderChangesetText(template, context)).toThrow(message);
  });
});

describe('a condition', () => {
  test.each<[condition: string | boolean | undefined, now: boolean | null, before: boolean | null]>([
    [undefined, true, true],
    ['', true, true],
    [true, true, true],
    [false, false, false],
    [' true ', true, true],
    ['TRUE', false, false],
    ['random string', false, false],
    ['${{ repository.name }}', false, false],
    ['${{ eq repository.name "x" }}', false, false],
    ['${{ ne repository.name "x" }}', true, true],
    ['${{ not (eq repository.name "x") }}', true, true],
    ['${{ matches repository.name "github.com/*" }}', true, true],
    ['${{ eq batch_change.name (join_if "" "hel" "lo") }}', true, true],
    ['${{ eq repository.branch "main" }}', true, null],
    ['${{ matches steps.path "services*" }}', true, null],
    ['${{ and true true }}', true, null],
    ['${{ or false true }}', true, null],
    ['${{ gt 2 1 }}', true, null],
    ['${{ if true }}true${{ end }}', true, null],
    ['${{ outputs.flag }}', true, null],
    ['${{ eq repository.search_result_paths "x" }}', null, null],
    ['${{ eq 1 1.0 }}', null, true],
  ])('%s: when the step runs %s, before any step %s', (condition, now, before) => {
    if (now === null) expect(() => isStepWanted(condition, context)).toThrow(/compar/);
    else expect(isStepWanted(condition, context)).toBe(now);
    expect(isStepWantedAnyway(condition, context)).toBe(before);
  });
});
