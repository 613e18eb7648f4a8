import { execFileSync } from 'node:child_process';
import { link, mkdir, mkdtemp, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openOutput } from './output.ts';

const uid = process.getuid?.() ?? 0;
const maxBytes = 1000;
let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'fumehood-output-'));
  await mkdir(join(directory, 'shared'));
  await writeFile(join(directory, 'secret'), 'secret');
});
afterEach(() => rm(directory, { recursive: true }));

const at = (name: string) => join(directory, 'shared', name);
const opened = (name = 'file', owner = uid) =>
  openOutput(join(directory, 'shared'), name, { uid: owner, maxBytes });
const refused = (why: string) => ({
  code: 'output_refused',
  message: expect.stringContaining(why) as unknown,
});

describe('an output of a program', () => {
  it('is opened when it is a regular file of the program', async () => {
    await writeFile(at('file'), 'bytes');
    const file = await opened();
    expect((await file.readFile()).toString()).toBe('bytes');
    await file.close();
  });

  it.each<[what: string, plant: () => unknown, why: string]>([
    ['a link to a file', () => symlink(join(directory, 'secret'), at('file')), 'ELOOP'],
    ['a link to nothing', () => symlink('nowhere', at('file')), 'ELOOP'],
    ['a second name of a file', () => link(join(directory, 'secret'), at('file')), 'another name'],
    ['a directory', () => mkdir(at('file')), 'not a regular file'],
    ['a FIFO', () => execFileSync('mkfifo', [at('file')]), 'not a regular file'],
    ['missing', () => {}, 'ENOENT'],
  ])('is refused when it is %s', async (_what, plant, why) => {
    await plant();
    await expect(opened()).rejects.toMatchObject(refused(why));
  });

  it('is refused when it belongs to another user than the one that the program ran as', async () => {
    await writeFile(at('file'), 'bytes');
    await expect(opened('file', uid + 1)).rejects.toMatchObject(refused('another user'));
  });

  it('is refused when it is too large', async () => {
    await writeFile(at('file'), '');
    await truncate(at('file'), maxBytes);
    await (await opened()).close();
    await truncate(at('file'), maxBytes + 1);
    await expect(opened()).rejects.toMatchObject(refused('at most 1000 are accepted'));
  });

  it('is refused when its name leads elsewhere', async () => {
    await symlink(directory, at('directory'));
    for (const name of ['', '..', '../secret', 'directory/secret', '/etc/passwd'])
      await expect(opened(name)).rejects.toMatchObject(refused('not the name of a file'));
  });
});
