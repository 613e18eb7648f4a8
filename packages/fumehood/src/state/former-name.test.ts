import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { findFormerStates } from './former-name.ts';

const formerName = ['glove', 'box'].join('');
let home: string;
beforeAll(() => {
  home = mkdtempSync(join(tmpdir(), 'fumehood-former-'));
  mkdirSync(join(home, formerName));
  mkdirSync(join(home, 'elsewhere'));
});
afterAll(() => rmSync(home, { recursive: true, force: true }));

it('finds the state directory of the former name and says how to remove it', () => {
  const [found, ...more] = findFormerStates({ XDG_STATE_HOME: home }, 1000);
  expect(more).toEqual([]);
  expect(found?.path).toBe(join(home, formerName));
  expect(found?.remedy).toContain(`rm -rf ${home}/${formerName}`);
});

it('finds the directory that the former variable names', () => {
  const variable = `${formerName.toUpperCase()}_STATE`;
  const found = findFormerStates({ [variable]: join(home, 'elsewhere'), XDG_STATE_HOME: home }, 1000);
  expect(found.map(({ path }) => path)).toEqual([join(home, 'elsewhere'), join(home, formerName)]);
});

it('finds nothing if no directory of the former name exists', () => {
  expect(findFormerStates({ XDG_STATE_HOME: join(home, 'elsewhere') }, 1000)).toEqual([]);
});
