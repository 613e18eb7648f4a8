import { chmod, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { firecrackerVersion } from './binary.ts';

let directory: string;
let binary: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'fumehood-firecracker-'));
  binary = join(directory, 'fake-firecracker');
});
afterEach(() => rm(directory, { recursive: true }));

/** Makes a program that only answers `--version`. */
async function fake(script: string, mode = 0o755): Promise<void> {
  await writeFile(binary, `#!/bin/sh\n${script}\n`);
  await chmod(binary, mode);
}
const version = () => firecrackerVersion(binary, null);
const refused = (message: RegExp) => ({ code: 'vmm_refused', message: expect.stringMatching(message) });

it('a binary says its version, and a log entry after it', async () => {
  await fake('[ "$*" = --version ] && printf "Firecracker v1.17.0\\n\\n2026 [anonymous] exiting\\n"');
  expect(await version()).toBe('1.17.0');
  await symlink(binary, join(directory, 'link'));
  expect(await firecrackerVersion(join(directory, 'link'), null)).toBe('1.17.0');
});

it('a version that is not accepted is refused', async () => {
  await fake('echo Firecracker v1.13.1');
  await expect(version()).rejects.toMatchObject(refused(/1\.13\.1 is older than 1\.14\.0/));
});

it.each([
  ['says nothing', 'exit 0', /does not say which/],
  ['is another program', 'echo QEMU emulator version 7.2', /does not say which.*QEMU/],
  ['says a version later', 'echo hello; echo Firecracker v1.17.0', /does not say which/],
  ['fails', 'echo "no\\033[2J way" >&2; exit 1', /--version fails: no \[2J way$/],
  ['writes without end', 'exec yes Firecracker v1.17.0', /writes more than 65536 bytes/],
])('a binary that %s is refused', async (_, script, message) => {
  await fake(script);
  await expect(version()).rejects.toMatchObject(refused(message));
});

it('a missing binary, and a file that is no program, are refused', async () => {
  await expect(version()).rejects.toMatchObject(refused(/there is no Firecracker.*ENOENT/));
  await fake('echo Firecracker v1.17.0', 0o644);
  await expect(version()).rejects.toMatchObject(refused(/EACCES/));
});

it('a binary that others could change is refused, and not run', async () => {
  const proof = join(directory, 'ran');
  await fake(`touch ${proof}; echo Firecracker v1.17.0`, 0o777);
  await expect(version()).rejects.toMatchObject(refused(/another user of this machine could change/));
  await expect(rm(proof)).rejects.toThrow('ENOENT');
});
