import { FumehoodError } from '@fumehood/base';

/** The tar stream is damaged, or uses a feature that this reader refuses. */
export function tarInvalid(why: string): FumehoodError {
  return new FumehoodError({ code: 'tar_invalid', message: `the archive cannot be read: ${why}` });
}

/** The tar stream exceeds a limit. */
export function tarTooBig(why: string): FumehoodError {
  return new FumehoodError({ code: 'tar_too_big', message: `the archive is refused: ${why}` });
}

/** The finished disk does not hold every member that was written to it. */
export function diskInvalid(why: string): FumehoodError {
  return new FumehoodError({ code: 'disk_invalid', message: `the disk was not made: ${why}` });
}
