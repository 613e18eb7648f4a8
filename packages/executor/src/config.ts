import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { configInvalid } from './errors.ts';

/** Reads a JSON configuration file and validates it. Errors: `config_invalid`. */
export async function readConfig<S extends z.ZodType>(schema: S, file: string): Promise<z.output<S>> {
  let value: unknown;
  try {
    value = JSON.parse(await readFile(file, 'utf8'));
  } catch (error) {
    throw configInvalid(file, String(error));
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw configInvalid(file, z.prettifyError(parsed.error));
  return parsed.data;
}
