/** The options of a command that choose how it prints. */
export interface PrintOptions {
  readonly json?: boolean | undefined;
}

/** Writes a line for people to stderr: stdout is for results. */
export function note(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** Writes a value to stdout as JSON on one line. */
export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

/** Writes a result to stdout: as JSON with `--json`, else as lines of text. */
export function printResult({ json }: PrintOptions, value: unknown, lines: readonly string[]): void {
  if (json) printJson(value);
  else process.stdout.write(`${lines.join('\n')}\n`);
}

/** Reports that a command without a result has succeeded: as JSON on stdout with `--json`, else as a line on stderr. */
export function printDone({ json }: PrintOptions, value: unknown, line: string): void {
  if (json) printJson(value);
  else note(line);
}

/** Writes a new secret to stdout: alone, so that it can be redirected to a file, or in its record with `--json`. */
export function printSecret({ json }: PrintOptions, record: { readonly secret: string }): void {
  if (json) printJson(record);
  else process.stdout.write(`${record.secret}\n`);
  note('this is the only time that the secret is shown');
}
