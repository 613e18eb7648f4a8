import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { typedCommand, withTypedCommands } from './typed-command.ts';

let root: string;
let checkout: string;
let bin: string;
beforeEach(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'fumehood-typed-')));
  checkout = join(root, 'checkout');
  bin = join(checkout, 'node_modules/.bin');
  for (const path of [bin, join(root, 'bin'), join(root, 'other')]) mkdirSync(path, { recursive: true });
  writeFileSync(join(checkout, 'fumehood.mjs'), '');
  symlinkSync('../../fumehood.mjs', join(bin, 'fumehood'));
  symlinkSync(join(bin, 'fumehood'), join(root, 'bin/fumehood'));
  writeFileSync(join(root, 'other/fumehood'), 'another program');
});
afterEach(() => rmSync(root, { recursive: true }));

const layoutOf = (root: string) => ({
  root,
  command: join(root, 'node_modules/.bin/fumehood'),
  isCheckout: true,
});
const typed = (directory: string, path: string[], more: NodeJS.ProcessEnv = {}) =>
  typedCommand({ environment: { PATH: path.join(':'), ...more }, directory, layout: layoutOf(checkout) });

it('a command that the shell finds is typed by its name', () => {
  expect(typed(root, ['/usr/bin', join(root, 'bin')])).toBe('fumehood');
  expect(typed(root, [bin])).toBe('fumehood');
});

it('the directory that npm adds to the path of npx is not that of the shell', () => {
  expect(typed(checkout, [bin, '/usr/bin'], { npm_command: 'exec' })).toBe('npx fumehood');
  expect(typed(root, [bin], { npm_command: 'run-script' })).toBe(join(bin, 'fumehood'));
});

it('npx finds it in the checkout alone; elsewhere its path is typed', () => {
  expect(typed(join(checkout, 'packages'), [])).toBe('npx fumehood');
  expect(typed(`${checkout}-2`, [])).toBe(join(bin, 'fumehood'));
  expect(typed(root, [join(root, 'other'), ''])).toBe(join(bin, 'fumehood'));
  const spaced = { environment: {}, directory: '/', layout: layoutOf("/it's here") };
  expect(typedCommand(spaced)).toBe("'/it'\\''s here/node_modules/.bin/fumehood'");
});

it('in the directory of a package npx does not find it', () => {
  const layout = { root, command: join(root, 'lib/fumehood.mjs'), isCheckout: false };
  expect(typedCommand({ environment: {}, directory: root, layout })).toBe(layout.command);
});

it('the commands of a text are those that the caller types; other text stays', () => {
  const text = 'fumehood: run `fumehood up`, or `fumehood login URL`; not `chmod 600 fumehood `';
  expect(withTypedCommands(text, 'npx fumehood')).toBe(
    'fumehood: run `npx fumehood up`, or `npx fumehood login URL`; not `chmod 600 fumehood `',
  );
  expect(withTypedCommands(text, 'fumehood')).toBe(text);
});
