import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { closedParents, makeState } from './make.ts';
import { openState } from './state.ts';

let root: string;
let open: string;
let closed: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'fumehood-make-'));
  chmodSync(root, 0o755);
  [open, closed] = [join(root, 'open'), join(root, 'closed')];
  mkdirSync(open, { mode: 0o711 });
  mkdirSync(closed, { mode: 0o700 });
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const stateIn = (directory: string) => openState({ FUMEHOOD_STATE: directory }, 0);
const pathsOf = (path: string) => closedParents(stateIn(path).root).map((parent) => parent.path);

describe('closed parents', () => {
  it('are the directories above that other users cannot traverse, with mode and owner', () => {
    mkdirSync(join(closed, 'inner'), { mode: 0o750 });
    expect(closedParents(join(closed, 'inner/missing/state'))).toEqual([
      { path: closed, mode: 0o700, uid: statSync(closed).uid },
      { path: join(closed, 'inner'), mode: 0o750, uid: statSync(closed).uid },
    ]);
  });

  it('do not include the state directory itself, nor a directory that only cannot be listed', () => {
    expect(pathsOf(closed)).toEqual([]);
    expect(pathsOf(join(open, 'state'))).toEqual([]);
  });

  it('are also found where a symbolic link leads', () => {
    mkdirSync(join(closed, 'state'));
    symlinkSync(join(closed, 'state'), join(open, 'link'));
    expect(pathsOf(join(open, 'link'))).toEqual([closed]);
    expect(pathsOf(join(open, 'link/missing'))).toEqual([closed]);
  });
});

describe('making the state directory', () => {
  it('is refused for root below a closed directory, and makes nothing', () => {
    expect(() => makeState(stateIn(join(closed, 'missing/state')), true)).toThrow(
      expect.objectContaining({
        code: 'state_closed',
        message: expect.stringContaining(
          `${closed} (mode 0700, owned by uid ${statSync(closed).uid})`,
        ) as string,
        remedy: expect.stringContaining(`chmod o+x ${closed}`) as string,
      }) as Error,
    );
    expect(existsSync(join(closed, 'missing'))).toBe(false);
  });

  it.each([
    ['a backslash', 'a\\b', 'the character \\'],
    ['a quotation mark', 'a"b', 'the character "'],
    ['a dollar sign', 'a$b', 'the character $'],
    ['a backquote', 'a`b', 'the character `'],
    ['a line break', 'a\nb', 'control character'],
    ['bytes that are not UTF-8', 'a\uFFFDb', 'UTF-8'],
    ['too many bytes for a socket below it', 'é'.repeat(39), 'bytes too long for the sockets'],
  ])('is refused with %s in its path, and makes nothing', (_, name, why) => {
    const state = stateIn(join(open, name));
    expect(() => makeState(state, true)).toThrow(
      expect.objectContaining({
        code: 'state_unusable',
        message: expect.stringContaining(why) as string,
      }) as Error,
    );
    expect(existsSync(state.root)).toBe(false);
  });

  it('takes every other path', () => {
    const state = stateIn(join(open, `, :;=%41 é'(x)#?*-`));
    makeState(state, true);
    expect(existsSync(state.root)).toBe(true);
  });

  it('needs no open directories without root, where every process runs as the same user', () => {
    makeState(stateIn(join(closed, 'state')), false);
    expect(existsSync(join(closed, 'state'))).toBe(true);
  });

  it('is refused where another user could change it, and makes nothing', () => {
    const { root } = stateIn(join(open, 'shared/state'));
    mkdirSync(join(open, 'shared'));
    chmodSync(join(open, 'shared'), 0o775);
    expect(() => makeState(stateIn(root), false)).toThrow(
      expect.objectContaining({
        code: 'state_unsafe',
        remedy: expect.stringContaining(`chmod go-w ${join(open, 'shared')}`) as string,
      }) as Error,
    );
    expect(existsSync(root)).toBe(false);
    chmodSync(join(open, 'shared'), 0o755);
    makeState(stateIn(root), false);
  });

  it('makes missing parents too, and can be repeated', () => {
    const state = stateIn(join(open, 'missing/state'));
    for (const _ of ['first', 'second']) makeState(state, true);
    expect(existsSync(state.root)).toBe(true);
  });
});
