import { expect, test } from 'vitest';
import { outputsFrom, parseOutput } from './outputs.ts';
import { renderStepText } from './render.ts';
import type { Step } from './spec.ts';

const step = (format: 'json' | 'yaml' | 'text'): Step => ({
  run: 'true',
  container: 'alpine:3',
  outputs: { it: { value: '', format } },
});
const context = (outputs: ReturnType<typeof outputsFrom>) => ({
  repository: { name: 'a', branch: 'main', searchResultPaths: [] },
  batchChange: { name: 'b', description: '' },
  changes: { modified: [], added: [], deleted: [], renamed: [] },
  ...{ outputs, path: '', previousStep: null, step: null },
});

test.each([
  ['{"n":3}', 'json', '${{ outputs.it.n }}', '3'],
  ['{"n":3}', 'json', '${{ eq outputs.it.n 3.0 }}', 'true'],
  ['n: 3', 'yaml', '${{ eq outputs.it.n 3 }}', 'true'],
  ['hello\n', 'text', '${{ outputs.it }}', 'hello\n'],
] as const)('the output %s of the format %s is known to later templates', (text, format, template, shown) => {
  const stored = JSON.parse(JSON.stringify({ it: parseOutput(text, format) })) as Record<string, unknown>;
  expect(renderStepText(template, context(outputsFrom(stored, [step(format)])))).toBe(shown);
});

test('an output that is not of its format is refused', () => {
  expect(() => parseOutput('{', 'json')).toThrow(/the output is no JSON/);
  expect(() => parseOutput('[', 'yaml')).toThrow(/the output is no YAML/);
});

test.each(['json', 'yaml'] as const)(
  'an output of the format %s that is nested deeper than can be stored is refused',
  (format) => {
    const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth);
    expect(JSON.stringify(parseOutput(nested(500), format))).toBe(nested(500));
    for (const depth of [501, 100_000])
      expect(() => parseOutput(nested(depth), format)).toThrow(
        expect.objectContaining({ code: 'template_invalid' }),
      );
  },
);
