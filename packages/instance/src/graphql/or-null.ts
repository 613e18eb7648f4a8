import { FumehoodError } from '@fumehood/base';

/** Returns null in place of errors with these codes. */
export async function orNull<T>(found: Promise<T>, ...codes: readonly string[]): Promise<T | null> {
  try {
    return await found;
  } catch (error) {
    if (error instanceof FumehoodError && codes.includes(error.code)) return null;
    throw error;
  }
}
