import { type ChildProcessWithoutNullStreams, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { busyboxImage } from '../../packages/executor/src/testing/test-images.ts';
import { Stack } from '../stack.ts';

let stack: Stack;
let image: string;

beforeAll(async () => {
  stack = await Stack.make();
  image = `docker-archive:${(await busyboxImage(stack.state, 'plain', {})).file}`;
  const up = await stack.fumehood(['up']);
  expect(up.code, up.stderr).toBe(0);
});
afterAll(() => stack.stop());

/** A command in a shell that has a terminal of its own, as a user starts it. */
class Shell {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #directory: string;
  /** What the terminal has shown. */
  shown = '';

  /** Starts `fumehood run -t` on a terminal of 30 rows and 100 columns. */
  constructor(...command: readonly string[]) {
    this.#directory = mkdtempSync(join(stack.state, 'shell-'));
    const fumehood = join(import.meta.dirname, '../../packages/fumehood/bin/fumehood.mjs');
    const sizes = ['--accept', 'vm-emulated', '--memory', '256', '--scratch', '256'];
    const words = [process.execPath, fumehood, 'run', '-t', ...sizes, image, '--', ...command];
    const script = [
      `cd ${this.#directory}`,
      'tty > tty; stty rows 30 cols 100; stty -g > before',
      `${words.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ')} & echo $! > pid; fg > /dev/null`,
      'echo $? > code; stty -g > after',
    ];
    writeFileSync(join(this.#directory, 'script'), script.join('\n'));
    const shell = `bash -m ${this.#directory}/script`;
    const env = { ...process.env, FUMEHOOD_STATE: stack.state, TERM: 'xterm-test' };
    this.#child = spawn('/usr/bin/script', ['-qec', shell, '/dev/null'], { env });
    this.#child.stdout.on('data', (chunk: Buffer) => {
      this.shown += chunk.toString();
    });
  }

  read(name: 'tty' | 'before' | 'after' | 'code' | 'pid'): string {
    const file = join(this.#directory, name);
    return existsSync(file) ? readFileSync(file, 'utf8').trim() : '';
  }
  type(text: string): void {
    this.#child.stdin.write(text);
  }
  resize(rows: number, columns: number): void {
    execFileSync('stty', ['-F', this.read('tty'), 'rows', String(rows), 'cols', String(columns)]);
  }
  async shows(pattern: RegExp): Promise<void> {
    await expect.poll(() => this.shown, { timeout: 30_000, interval: 20 }).toMatch(pattern);
  }
  async end(): Promise<{ code: string; before: string; after: string }> {
    if (this.#child.exitCode === null) await once(this.#child, 'exit');
    return { code: this.read('code'), before: this.read('before'), after: this.read('after') };
  }
}

test('a shell in the VM has the terminal of the user, with its size, and leaves it as it was', async () => {
  const shell = new Shell('sh');
  await shell.shows(/# /);
  shell.type('stty size; tty; echo "[$TERM]"\r');
  await shell.shows(/30 100\r\n\/dev\/pts\/0\r\n\[xterm-test\]\r\n/);
  shell.resize(50, 120);
  shell.type('until [ "$(stty size)" = "50 120" ]; do :; done; echo "re"sized\r');
  await shell.shows(/resized/);
  // Ctrl-C goes to the program that runs, and the shell goes on.
  shell.type('sleep 1000\r');
  await shell.shows(/sleep 1000\r\n/);
  shell.type('\x03');
  shell.type('echo "go"ing on\r');
  await shell.shows(/going on/);
  shell.type('exit 7\r');
  const { code, before, after } = await shell.end();
  expect(code).toBe('7');
  expect(after).toBe(before);
});

test('a terminal is left as it was when `run` is ended by SIGTERM, or by three times Ctrl-C', async () => {
  for (const stop of [
    (shell: Shell) => process.kill(Number(shell.read('pid')), 'SIGTERM'),
    (shell: Shell) => shell.type('\x03\x03\x03'),
  ]) {
    const shell = new Shell(
      'sh',
      '-c',
      'trap "" INT; trap "exit 0" TERM; echo "rea"dy; while :; do sleep 0.1; done',
    );
    await shell.shows(/ready/);
    stop(shell);
    const { code, before, after } = await shell.end();
    expect(code, shell.shown).toBe('130');
    expect(after).toBe(before);
  }
});

test('a step that closes its terminal, floods it, and leaves a process on it ends as any other', async () => {
  const flood =
    'sleep 1000 & yes 0123456789 | head -n 20000; exec <&- >&- 2>&-; exec > /dev/pts/0; echo; echo la"st"; exit 3';
  const shell = new Shell('sh', '-c', flood);
  const { code, before, after } = await shell.end();
  expect(code, shell.shown.slice(-500)).toBe('3');
  expect(shell.shown.match(/0123456789\r\n/g)).toHaveLength(20_000);
  expect(shell.shown).toMatch(/\r\nlast\r\n$/);
  expect(after).toBe(before);
});

test('without a terminal, --tty is refused before anything is started', async () => {
  const refused = await stack.fumehood(['run', '-t', image, '--', 'true']);
  expect(refused).toMatchObject({ code: 2, stdout: '' });
  expect(refused.stderr).toContain('--tty needs a terminal');
  const both = await stack.fumehood(['run', '-t', '-d', image, '--', 'true']);
  expect(both.code).toBe(2);
});
