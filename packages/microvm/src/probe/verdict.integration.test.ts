import { spawnSync } from 'node:child_process';
import { copyFile, mkdtemp, readFile, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const module = pathToFileURL(join(import.meta.dirname, 'verdict.ts')).href;
let directory: string;
let binary: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'fumehood-verdict-'));
  binary = join(directory, 'vmm');
  await writeFile(binary, 'a VMM');
});
afterAll(() => rm(directory, { recursive: true }));

/** Returns the key that a process computes; the command `before` makes it see a different host. */
function keyOf({ before = [] as string[], digest = 'sha256:1', vmm = binary } = {}): string {
  const script = `
    const { verdictKey } = await import(${JSON.stringify(module)});
    const guest = { kernel: '/k', initramfs: '/i', digest: ${JSON.stringify(digest)} };
    process.stdout.write(await verdictKey(${JSON.stringify(vmm)}, guest));`;
  const [program, ...args] = [...before, process.execPath, '--input-type=module', '--eval', script];
  const { stdout, stderr, status } = spawnSync(program, args, { encoding: 'utf8' });
  expect(status, stderr).toBe(0);
  expect(stdout).toMatch(/^[0-9a-f]{64}$/);
  return stdout;
}
/** Returns a command that runs another one with a changed file of /proc. */
async function withFile(path: string, change: (text: string) => string): Promise<string[]> {
  const file = join(directory, path.replaceAll('/', '-'));
  await writeFile(file, change(await readFile(path, 'latin1')));
  return ['bwrap', '--dev-bind', '/', '/', '--ro-bind', file, path, '--'];
}

describe('the key of a verdict', () => {
  it('stays the same as long as nothing changes', async () => {
    expect(keyOf()).toBe(keyOf());
    const before = await withFile('/proc/cpuinfo', (text) =>
      text.replaceAll(/^cpu MHz.*$/gm, 'cpu MHz\t\t: 1.0'),
    );
    expect(keyOf({ before })).toBe(keyOf());
  });

  it.each<[string, string, (text: string) => string]>([
    ['the host has rebooted', '/proc/sys/kernel/random/boot_id', (text) => text.replace(/^./, 'x')],
    [
      'the microcode changes',
      '/proc/cpuinfo',
      (text) => text.replaceAll(/^microcode.*$/gm, 'microcode\t: 0x999'),
    ],
    [
      'the processor changes',
      '/proc/cpuinfo',
      (text) => text.replaceAll(/^model name.*$/gm, 'model name\t: X'),
    ],
    [
      'the processor gets another feature',
      '/proc/cpuinfo',
      (text) => text.replaceAll(/^flags.*$/gm, '$& vmx'),
    ],
  ])('changes when %s', async (_what, path, change) => {
    expect(keyOf({ before: await withFile(path, change) })).not.toBe(keyOf());
  });

  it('changes when the kernel changes', () => {
    expect(keyOf({ before: ['setarch', '--uname-2.6'] })).not.toBe(keyOf());
  });

  it('changes when the guest image changes', () => {
    expect(keyOf({ digest: 'sha256:2' })).not.toBe(keyOf());
  });

  it('changes when the path, size, time or inode of the VMM binary changes', async () => {
    const other = join(directory, 'other-vmm');
    await copyFile(binary, other);
    const keys = [keyOf(), keyOf({ vmm: other })];
    await utimes(binary, 1, 1);
    keys.push(keyOf());
    await writeFile(binary, 'another VMM');
    await utimes(binary, 1, 1);
    keys.push(keyOf());
    await rename(binary, join(directory, 'first')); // keeps the old inode in use
    await writeFile(binary, 'another VMM');
    await utimes(binary, 1, 1);
    keys.push(keyOf());
    expect(new Set(keys).size).toBe(keys.length);
  });

  it('cannot be computed without a VMM', () => {
    expect(() => keyOf({ vmm: join(directory, 'none') })).toThrow(/ENOENT/);
  });
});
