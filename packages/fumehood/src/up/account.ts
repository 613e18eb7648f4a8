import { userInfo } from 'node:os';
import type { FumehoodError } from '@fumehood/base';
import { accountMissing } from '../errors.ts';

/** Returns the error of a user who has no entry in /etc/passwd, or null. PostgreSQL asks there who connects to it. */
export function accountError(): FumehoodError | null {
  try {
    userInfo();
    return null;
  } catch {
    return accountMissing(process.getuid?.() ?? 0);
  }
}
