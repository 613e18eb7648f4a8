import { StringDecoder } from 'node:string_decoder';
import type { Writable } from 'node:stream';
import { layout } from '#layout';
import type { ErrorFacts } from '@fumehood/base';
import { outputLost } from '../errors.ts';
import { printable, printableJson, printableLines } from './printable.ts';
import { typedCommand, withTypedCommands } from './typed-command.ts';

// Nothing else in this package writes to stdout or stderr: what others named must not reach a terminal as they wrote it.

/** The options of a command that choose how it prints. */
export interface PrintOptions {
  readonly json?: boolean | undefined;
}

/** Exit code when the reader of stdout or stderr is gone, as shells report a program that SIGPIPE ended: 128 + SIGPIPE. */
const readerGoneCode = 141;

/**
 * Sets the exit code when stdout or stderr cannot be written: quietly if its reader is gone, as after `| head`, else with the reason.
 * Without it, Node would end the process with a stack trace.
 */
export function handleLostOutput(): void {
  for (const name of ['stdout', 'stderr'] as const)
    process[name].on('error', (error: NodeJS.ErrnoException) => {
      process.exitCode = error.code === 'EPIPE' ? readerGoneCode : 1;
      if (error.code !== 'EPIPE' && name === 'stdout') noteError(outputLost(name, error));
    });
}

let typed: string | undefined;

/** Returns what the caller of this process types to run a command of Fumehood. */
function callerCommand(): string {
  typed ??= typedCommand({ environment: process.env, directory: workingDirectory(), layout });
  return typed;
}

function workingDirectory(): string {
  try {
    return process.cwd();
  } catch {
    return '/'; // it was removed
  }
}

/** Returns a line that is safe on a terminal, and whose commands the caller can type. */
function shown(line: string): string {
  return printable(line.includes('`fumehood ') ? withTypedCommands(line, callerCommand()) : line);
}

/** Writes to stderr how to run commands of Fumehood in every directory, unless the shell of the caller finds them. */
export function noteCommandPath(): void {
  if (callerCommand() !== 'fumehood')
    note(
      `in every directory its commands are ${layout.command}, or fumehood after \`ln -s ${layout.command} /usr/local/bin/\``,
    );
}

/** What ends a line on stderr: a raw terminal does not move to the left by itself. */
let lineEnd = '\n';

/** Tells that the terminal of this process has been made raw, or has its own settings again. */
export function rawTerminal(isRaw: boolean): void {
  lineEnd = isRaw && process.stderr.isTTY ? '\r\n' : '\n';
}

/** Writes lines for people to stderr: stdout is for results. */
export function note(...lines: readonly string[]): void {
  process.stderr.write(lines.map((line) => `${shown(line)}${lineEnd}`).join(''));
}

/** Writes an error to stderr: what happened, and below it, indented, the rest of it and what to do. */
export function noteError({ message, remedy }: Pick<ErrorFacts, 'message' | 'remedy'>): void {
  const [first, ...rest] = [message, ...(remedy ? [remedy] : [])].flatMap((text) => text.split('\n'));
  note(`fumehood: ${first}`, ...rest.map((line) => `  ${line.trimStart()}`));
}

/** Writes a value to stdout as JSON on one line. */
export function printJson(value: unknown): void {
  process.stdout.write(`${printableJson(value)}\n`);
}

/** Writes lines of text to stdout. */
export function printLines(lines: readonly string[]): void {
  process.stdout.write(lines.map((line) => `${shown(line)}\n`).join(''));
}

/** Writes a result to stdout: as JSON with `--json`, else as lines of text. */
export function printResult({ json }: PrintOptions, value: unknown, lines: readonly string[]): void {
  if (json) printJson(value);
  else printLines(lines);
}

/** Reports that a command without a result has succeeded: as JSON on stdout with `--json`, else as a line on stderr. */
export function printDone({ json }: PrintOptions, value: unknown, line: string): void {
  if (json) printJson(value);
  else note(line);
}

/** Writes a new secret to stdout: alone, so that it can be redirected to a file, or in its record with `--json`. */
export function printSecret({ json }: PrintOptions, record: { readonly secret: string }): void {
  if (json) printJson(record);
  else printLines([record.secret]);
  note('this is the only time that the secret is shown');
}

const decoders = new WeakMap<Writable, StringDecoder>();

/**
 * Writes output of a job's steps: every byte as it is, or as safe text if the stream is a terminal. Resolves when the bytes are
 * written. Errors: `output_lost`, which `handleLostOutput` reports.
 */
export function writeOutput(name: 'stdout' | 'stderr', bytes: Buffer): Promise<void> {
  const stream = process[name];
  return new Promise((resolve, reject) => {
    stream.write(stream.isTTY ? printableLines(decoderOf(stream).write(bytes)) : bytes, (error) =>
      error ? reject(outputLost(name, error)) : resolve(),
    );
  });
}

/**
 * Writes output of a job that has this terminal as its own: every byte as it is, also what moves the cursor, changes the terminal's settings
 * or asks it something, as `docker run -t` does. Resolves and rejects as `writeOutput`.
 */
export function writeTerminal(bytes: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(bytes, (error) => (error ? reject(outputLost('stdout', error)) : resolve()));
  });
}

/** A character may come in two parts. */
function decoderOf(stream: Writable): StringDecoder {
  const decoder = decoders.get(stream) ?? new StringDecoder('utf8');
  decoders.set(stream, decoder);
  return decoder;
}
