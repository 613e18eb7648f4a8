import { expect, it } from 'vitest';
import { hasLabels } from './up.ts';

it.each([
  [['a', 'b=1'], ['b=1', 'a'], true],
  [[], [], true],
  [['a'], ['a', 'b'], false],
  [['a', 'b'], ['a'], false],
  [['a'], [], false],
])('an executor with the labels %j has those of `up --label` %j: %s', (labels, wanted, expected) => {
  expect(hasLabels({ labels }, wanted)).toBe(expected);
});
