import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { FumehoodError } from '../errors.ts';

function outputRefused(name: string, why: string): FumehoodError {
  return new FumehoodError({
    code: 'output_refused',
    message: `a program in a sandbox left ${JSON.stringify(name.slice(0, 200))}, which is not used: ${why}`,
    remedy: 'Take the repository or the image that the program read for hostile, and report it.',
  });
}

/**
 * Opens a file that a program under the profile left in a directory of `sharedDirectory`, for reading. This is the only way in which
 * such a file may be opened: the program may have been taken over by what it read, and a link in place of the file would make this
 * process read its own secrets. `uid` is the program's; `maxBytes` the size that is accepted. The program must have ended. Errors:
 * `output_refused`.
 */
export async function openOutput(
  directory: string,
  name: string,
  { uid, maxBytes }: { readonly uid: number; readonly maxBytes: number },
): Promise<FileHandle> {
  // Of a longer path, the program could have replaced a directory by a link.
  if (name === '' || name.includes('/') || name === '..')
    throw outputRefused(name, 'it is not the name of a file');
  // Without O_NONBLOCK, this process would wait for the other end of a FIFO.
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const file = await open(join(directory, name), flags).catch((error: unknown) => {
    throw outputRefused(name, `it cannot be opened (${(error as NodeJS.ErrnoException).code})`);
  });
  try {
    const is = await file.stat();
    if (!is.isFile()) throw outputRefused(name, 'it is not a regular file');
    if (is.nlink !== 1) throw outputRefused(name, 'it has another name elsewhere');
    if (is.uid !== uid) throw outputRefused(name, 'it belongs to another user');
    if (is.size > maxBytes)
      throw outputRefused(name, `it has ${is.size} bytes, at most ${maxBytes} are accepted`);
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}
