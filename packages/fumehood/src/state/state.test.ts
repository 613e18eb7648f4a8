import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { openState } from './state.ts';

let root: string;
const rootOf = (chosen: string) => openState({ FUMEHOOD_STATE: chosen }, 0).root;
beforeEach(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'fumehood-state-')));
  mkdirSync(join(root, 'disk/below'), { recursive: true });
  symlinkSync('disk/state', join(root, 'link'));
  symlinkSync(join(root, 'disk/below'), join(root, 'below'));
});
afterEach(() => rmSync(root, { recursive: true }));

describe('the path of the state directory', () => {
  it.each([
    ['a slash at its end', (state: string) => `${state}/`],
    ['dots and repeated slashes', (state: string) => state.replace('/disk/', '/disk//./below/../')],
    ['a relative path', (state: string) => relative(process.cwd(), state)],
    ['a symbolic link', () => join(root, 'link')],
    ['a symbolic link in the middle', () => `${root}/below/../state`],
  ])('is the same one for %s, before and after the directory is made', (_, spelling) => {
    const state = join(root, 'disk/state');
    const spelled = spelling(state);
    expect(spelled).not.toBe(state);
    expect(rootOf(spelled)).toBe(state);
    mkdirSync(state);
    expect(rootOf(spelled)).toBe(state);
    expect(rootOf(`${spelled}/not/made`)).toBe(join(state, 'not/made'));
  });

  it('is refused when it is empty, and when it leads nowhere', () => {
    expect(() => rootOf('')).toThrow('FUMEHOOD_STATE is empty');
    writeFileSync(join(root, 'file'), '');
    symlinkSync('loop', join(root, 'loop'));
    for (const name of ['file/state', 'loop/state'])
      expect(() => rootOf(join(root, name))).toThrow(
        expect.objectContaining({ code: 'state_unreachable' }) as Error,
      );
  });

  it('is refused for a user without a home directory, unless it is given', () => {
    vi.stubEnv('HOME', '');
    expect(() => openState({}, 1000)).toThrow('no home directory');
    expect(openState({ XDG_STATE_HOME: root }, 1000).root).toBe(join(root, 'fumehood'));
    expect(openState({ FUMEHOOD_STATE: root }, 1000).root).toBe(root);
    expect(openState({}, 0).root).toBe('/var/lib/fumehood');
    vi.unstubAllEnvs();
  });

  it('is the usual one when XDG_STATE_HOME is empty', () => {
    expect(openState({ XDG_STATE_HOME: '' }, 1000).root).toBe(openState({}, 1000).root);
  });
});
