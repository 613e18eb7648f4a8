import { FumehoodError } from '@fumehood/base';

export function uploadNotFound(id: number): FumehoodError {
  return new FumehoodError({
    status: 404,
    code: 'upload_not_found',
    message: `there is no upload ${id}`,
    remedy:
      "Look at `uploadId` of the job's record: a later upload of the same commit replaces an earlier one.",
  });
}

export function noExample(id: number): FumehoodError {
  return new FumehoodError({
    status: 404,
    code: 'no_example',
    message: `upload ${id} has no reference to a symbol that it defines`,
  });
}

export function payloadInvalid(why: string): FumehoodError {
  return new FumehoodError({
    status: 400,
    code: 'payload_invalid',
    message: `the upload cannot be read: ${why}`,
    remedy: 'Send the index gzipped, as `src code-intel upload` does.',
  });
}

export function payloadTooBig(maxBytes: number): FumehoodError {
  return new FumehoodError({
    status: 413,
    code: 'payload_too_big',
    message: `an index has at most ${maxBytes} bytes`,
    remedy: 'Index a part of the repository: set `root` of the job.',
  });
}

export function indexTooBig(what: string, max: number): FumehoodError {
  return new FumehoodError({
    status: 413,
    code: 'index_too_big',
    message: `an index has at most ${max} ${what}`,
    remedy: 'Index a part of the repository: set `root` of the job.',
  });
}

/** No index of a commit has this path. */
export function notIndexed(repository: string, commit: string, path: string): FumehoodError {
  return new FumehoodError({
    status: 404,
    code: 'not_indexed',
    message: `no index of ${repository} at ${commit.slice(0, 12)} covers ${path}`,
    remedy: `Have the commit indexed: \`fumehood index ${repository} --revision ${commit.slice(0, 12)}\`.`,
  });
}
