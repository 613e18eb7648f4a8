import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, mkdir, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { toolFailed } from '../errors.ts';

const source = join(import.meta.dirname, 'launcher.c');

/** Builds the launcher into `directory`, once for each version of its source, and returns its path. Errors: `tool_failed`. */
export async function buildLauncher(directory: string): Promise<string> {
  const key = createHash('sha256')
    .update(await readFile(source))
    .digest('hex')
    .slice(0, 16);
  const target = join(directory, `launcher-${key}`);
  if (existsSync(target)) return target;
  await mkdir(directory, { recursive: true });
  const partial = `${target}.${process.pid}`;
  const flags = ['-static', '-O2', '-Wall', '-Wextra', '-Werror', '-s', '-o', partial, source];
  await promisify(execFile)('gcc', flags).catch((error: unknown) => {
    throw toolFailed('gcc', String(error), 'Install it: `apt-get install gcc libc6-dev`.');
  });
  await chmod(partial, 0o755);
  await rename(partial, target);
  return target;
}
