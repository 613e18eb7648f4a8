import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { networkCommand } from './network.ts';

let directory: string;
let program: string;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'fumehood-arguments-'));
  program = join(directory, 'network');
  const sanitizers = ['-fsanitize=address,undefined', '-fno-sanitize-recover=all'];
  const flags = ['-g', '-O1', '-Wall', '-Wextra', '-Werror', `-Wa,-I${import.meta.dirname}`];
  execFileSync('gcc', [...flags, ...sanitizers, '-o', program, join(import.meta.dirname, 'network.c')]);
});
afterAll(() => rmSync(directory, { recursive: true }));

/** Runs the program under the sanitizers, and resolves with how it ended and what it said. */
async function run(command: readonly string[]): Promise<{ code: number | null; said: string }> {
  const child: ChildProcess = spawn(command[0] as string, command.slice(1), {
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    env: {},
  });
  child.on('message', (_name, handle) => (handle as { close?: () => void } | undefined)?.close?.());
  const [said, [code]] = await Promise.all([
    text(child.stderr as NodeJS.ReadableStream & AsyncIterable<Buffer>),
    once(child, 'exit'),
  ]);
  return { code: code as number | null, said };
}

/** With it the program makes a whole network and ends. */
const whole = () => networkCommand({ program }, { tap: { owner: 0 }, channel: 3 }, ['/bin/true']);

describe.skipIf(process.getuid?.() !== 0)('the program that makes a network, under sanitizers', () => {
  it('makes one', async () => {
    expect(await run(whole())).toEqual({ code: 0, said: '' });
  });

  it('refuses any arguments that are none, and says so', async () => {
    const word = fc.oneof(
      fc.constantFrom(
        '--tap',
        '--owner',
        '--channel',
        '--nft',
        '--device',
        '--holders',
        '--',
        '3',
        '-1',
        '99999999999999999999',
      ),
      fc.string({ unit: 'binary-ascii', maxLength: 40 }).map((some) => some.replaceAll('\0', '')),
      fc.constant('x'.repeat(5_000)),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(word, { maxLength: 12 }), async (words) => {
        const { code, said } = await run([program, ...words]);
        expect(said).not.toMatch(/Sanitizer|runtime error/);
        expect([0, 125]).toContain(code);
        if (code === 125) expect(said).toMatch(/^network: /);
      }),
      { numRuns: 50 },
    );
  });

  const changed = (from: string, to: string) => whole().map((word) => (word === from ? to : word));
  it.each<[string, () => readonly string[], string]>([
    [
      'a program of rules that fails',
      () => changed('/usr/sbin/nft', '/bin/false'),
      'the rules were not loaded',
    ],
    ['no program of rules', () => changed('/usr/sbin/nft', '/gone'), 'the rules were not loaded'],
    [
      'a name of a tap that is too long',
      () => changed('tap0', 'x'.repeat(5_000)),
      'an argument is missing or unknown',
    ],
    ['a channel that is none', () => changed('3', '9'), 'the channel: Bad file descriptor'],
    [
      'a command that does not exist',
      () => changed('/bin/true', '/gone'),
      '/gone: No such file or directory',
    ],
    [
      'few descriptors',
      () => ['/usr/bin/prlimit', '--nofile=20', '--', ...whole()],
      'the namespace: Invalid argument',
    ],
    [
      'no privilege',
      () => ['setpriv', '--reuid=1900127', '--clear-groups', ...whole()],
      'without root a command cannot be in the namespace of its tap',
    ],
  ])('ends with what failed: %s', async (_, command, why) => {
    const { code, said } = await run(command());
    expect(said).not.toMatch(/Sanitizer|runtime error/);
    expect(said).toContain(`network: ${why}`);
    expect(code).toBe(125);
  });
});
