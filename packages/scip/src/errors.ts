import { FumehoodError } from '@fumehood/base';

/** The bytes are not a SCIP index. */
export function indexInvalid(why: string): FumehoodError {
  return new FumehoodError({
    code: 'index_invalid',
    message: `this is not a SCIP index: ${why}`,
    remedy: 'Check that the indexer succeeded and wrote the file that is uploaded.',
    status: 400,
  });
}
