import { mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import * as z from 'zod';
import { loginExposed, loginInvalid } from '../errors.ts';

const loginSchema = z.strictObject({ url: z.string().min(1), token: z.string().min(1) });
/** The instance that a user's commands use, and the user's access token for it. */
export type Login = z.infer<typeof loginSchema>;

/** Returns the path of the user's login: `~/.config/fumehood/login.json`, or below `XDG_CONFIG_HOME`. */
export function loginFile(environment: NodeJS.ProcessEnv): string {
  return join(environment.XDG_CONFIG_HOME || join(homedir(), '.config'), 'fumehood/login.json');
}

/** Reads a login; null without one. Errors: `login_exposed` if other users can read the file, `login_invalid`. */
export function readLogin(file: string): Login | null {
  try {
    if ((statSync(file).mode & 0o077) !== 0) throw loginExposed(file);
    return loginSchema.parse(JSON.parse(readFileSync(file, 'utf8')));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    if (error instanceof SyntaxError || error instanceof z.ZodError) throw loginInvalid(file);
    throw error;
  }
}

/** Stores a login in a file that only its owner can read. */
export function writeLogin(file: string, login: Login): void {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const staged = `${file}.${process.pid}`;
  writeFileSync(staged, `${JSON.stringify(login)}\n`, { mode: 0o600, flag: 'wx' });
  renameSync(staged, file);
}

/** Removes a login. Returns whether there was one. */
export function removeLogin(file: string): boolean {
  const exists = statSync(file, { throwIfNoEntry: false }) !== undefined;
  rmSync(file, { force: true });
  return exists;
}
