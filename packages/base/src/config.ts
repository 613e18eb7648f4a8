import { readFile } from 'node:fs/promises';
import * as z from 'zod';
import { FumehoodError } from './errors.ts';

/** Reads a JSON configuration file and checks it against its schema. Errors: `config_invalid`. */
export async function readConfig<S extends z.ZodType>(schema: S, file: string): Promise<z.output<S>> {
  let value: unknown;
  try {
    value = JSON.parse(await readFile(file, 'utf8'));
  } catch (error) {
    throw configInvalid(file, (error as Error).message);
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw configInvalid(file, z.prettifyError(parsed.error));
  return parsed.data;
}

function configInvalid(file: string, why: string): FumehoodError {
  return new FumehoodError({
    code: 'config_invalid',
    message: `the configuration file ${file} is invalid: ${why}`,
    remedy: 'Correct the file. If `fumehood up` wrote it, run `fumehood up` again.',
  });
}
