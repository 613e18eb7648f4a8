import { expect, it } from 'vitest';
import { publicationIn, wantedPublication } from './publication.ts';

it.each([
  [undefined, null],
  [true, true],
  [false, false],
  ['draft', 'draft'],
  [[], null],
  [[{ 'other/*': true }], null],
  [[{ '*': true }], true],
  [[{ '*': true }, { 'acme/*': 'draft' }], 'draft'],
  [[{ 'acme/*': 'draft' }, { '*': false }], false],
  [[{ 'acme/*@fix': true }], true],
  [[{ 'acme/*@fix-1': true }], null],
  [[{ '*': 'draft' }, { 'acme/api@other': true }], 'draft'],
] as const)(
  'publication %j of the branch fix of acme/api is %j: the last pattern that matches counts',
  (published, said) => {
    expect(publicationIn(published as Parameters<typeof publicationIn>[0], 'acme/api', 'fix')).toBe(said);
  },
);

it.each([
  [null, null, false],
  [null, true, true],
  [null, 'draft', 'draft'],
  [false, true, false],
  [true, false, true],
  ['draft', true, 'draft'],
] as const)('a spec that says %j, and users who ask for %j, come to %j', (said, asked, wanted) => {
  expect(wantedPublication(said, asked)).toBe(wanted);
});
