import { FumehoodError } from '@fumehood/base';

/** A tar stream that is damaged, or uses what this reader refuses. */
export function tarInvalid(why: string): FumehoodError {
  return new FumehoodError({ code: 'tar_invalid', message: `the archive cannot be read: ${why}` });
}

/** An archive beyond a limit. */
export function tarTooBig(why: string): FumehoodError {
  return new FumehoodError({ code: 'tar_too_big', message: `the archive is refused: ${why}` });
}

/** The finished disk does not hold what was written to it. */
export function diskInvalid(why: string): FumehoodError {
  return new FumehoodError({ code: 'disk_invalid', message: `the disk was not made: ${why}` });
}
