import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildLauncher } from '@fumehood/microvm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { compileHostile } from '../../packages/base/src/testing/hostile.ts';
import { jailArguments } from '../../packages/microvm/src/jail/bwrap.ts';
import { descriptors, isRoot, launch } from '../../packages/microvm/src/testing/launch.ts';

const ids = isRoot ? ['--ids', '1900123:1900123'] : [];
/** A filter that allows everything. */
const allowAll = Buffer.alloc(8);
allowAll.writeUInt16LE(0x06, 0);
allowAll.writeUInt32LE(0x7fff0000, 4);

let directory: string;
let launcher: string;
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'fumehood-jail-'));
  chmodSync(directory, 0o711);
  launcher = await buildLauncher(directory);
  await compileHostile(join(directory, 'hostile'));
});
afterAll(() => rmSync(directory, { recursive: true }));

/** Runs an attack of `hostile.c` in place of a VMM, under the jail's filter or another one, and returns its result. */
async function attack(name: string, filter?: Buffer): Promise<string> {
  const program = join(directory, 'hostile');
  const command = jailArguments([program, name], { filter: descriptors.filter });
  command.splice(command.indexOf('--remount-ro'), 0, '--ro-bind', program, program);
  const launched = launch(launcher, command, { extra: ids, ...(filter && { filter }) });
  launched.renew(60_000);
  await launched.status;
  return (await launched.stdout).trimEnd();
}

describe('the filter of the jail', () => {
  // Without the filter, the other calls that it denies fail for want of a capability.
  test.each([
    'attach',
    'read-memory',
    'take-descriptor',
    'add-key',
    'keyctl',
    'userfaultfd',
    'personality',
    'netlink',
    'inet',
  ])('refuses %s to a program in the jail, where it succeeds without the filter', async (name) => {
    expect(await attack(name)).toBe('EPERM');
    expect(await attack(name, allowAll)).toBe('done');
  });

  test('refuses io_uring, for which the limit of locked memory would leave no memory', async () => {
    expect(await attack('io-uring')).toBe('EPERM');
    expect(await attack('io-uring', allowAll)).toBe('ENOMEM');
  });

  test.runIf(process.arch === 'x64')('ends a program that makes a 32-bit system call', async () => {
    expect(await attack('i386')).toBe('');
    expect(await attack('i386', allowAll)).toBe('done');
  });
});
