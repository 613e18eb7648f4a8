import { FumehoodError } from '@fumehood/base';

/** Bytes that are no SCIP index. */
export function indexInvalid(why: string): FumehoodError {
  return new FumehoodError({
    code: 'index_invalid',
    message: `this is not a SCIP index: ${why}`,
    remedy: 'Check that the indexer ended well and wrote the file that is uploaded.',
    status: 400,
  });
}
