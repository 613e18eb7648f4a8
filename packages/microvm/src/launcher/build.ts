import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, mkdir, readdir, readFile, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { toolFailed } from '../errors.ts';

/** Builds the launcher into `directory`, once for each version of its source, and returns its path. Errors: `tool_failed`. */
export function buildLauncher(directory: string): Promise<string> {
  return buildProgram('launcher', join(import.meta.dirname, 'launcher.c'), directory);
}

/** Builds the program that makes the network of a VM, as `buildLauncher`. */
export function buildNetworkProgram(directory: string): Promise<string> {
  return buildProgram('network', join(import.meta.dirname, '../network/network.c'), directory);
}

async function buildProgram(name: string, source: string, directory: string): Promise<string> {
  const hash = createHash('sha256');
  for (const file of (await readdir(dirname(source))).filter((file) => /\.(c|nft)$/.test(file)).sort())
    hash.update(await readFile(join(dirname(source), file)));
  const key = hash.digest('hex').slice(0, 16);
  const target = join(directory, `${name}-${key}`);
  if (existsSync(target)) return target;
  await mkdir(directory, { recursive: true });
  const partial = `${target}.${process.pid}`;
  const flags = [
    '-static',
    '-O2',
    '-Wall',
    '-Wextra',
    '-Werror',
    '-s',
    `-Wa,-I${dirname(source)}`,
    '-o',
    partial,
    source,
  ];
  await promisify(execFile)('gcc', flags).catch((error: unknown) => {
    throw toolFailed('gcc', String(error), 'Install it: `apt-get install gcc libc6-dev`.');
  });
  await chmod(partial, 0o755);
  await rename(partial, target);
  return target;
}
