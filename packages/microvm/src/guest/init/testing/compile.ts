import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll } from 'vitest';

const init = join(import.meta.dirname, '..');
const strict = ['-g', '-O1', '-Wall', '-Wextra', '-Werror'];
/** The first fault ends the program with an exit code that only the sanitizers use. */
const sanitizers = ['-fsanitize=address,undefined', '-fno-sanitize-recover=all'];

/** Compiles a driver of this folder with sources of init before the tests of a file. `path` is set when the tests run. */
export function compiled(driver: string, sources: readonly string[], defines: readonly string[] = []) {
  const program = { path: '' };
  let directory: string;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'fumehood-init-'));
    const out = join(directory, driver);
    const files = [join(import.meta.dirname, `${driver}.c`), ...sources.map((name) => join(init, name))];
    await promisify(execFile)('gcc', [...strict, ...sanitizers, ...defines, '-o', out, ...files]);
    program.path = out;
  });
  afterAll(() => rm(directory, { recursive: true }));
  return program;
}
