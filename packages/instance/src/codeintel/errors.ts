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
    remedy: 'Index a part of the repository at a time, and name its directory as the root.',
  });
}

export function indexTooBig(what: string, max: number): FumehoodError {
  return new FumehoodError({
    status: 413,
    code: 'index_too_big',
    message: `an index has at most ${max} ${what}`,
    remedy: 'Index a part of the repository at a time, and name its directory as the root.',
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

/** Nobody has begun this upload in parts, or somebody else has. */
export function uploadNotBegun(id: number): FumehoodError {
  return new FumehoodError({
    status: 404,
    code: 'upload_not_begun',
    message: `there is no unfinished upload ${id} of this token`,
    remedy: 'Send the index again from the beginning: an upload that is not finished is kept for a day.',
  });
}

export function uploadPartsMissing(count: number): FumehoodError {
  return new FumehoodError({
    status: 400,
    code: 'upload_parts_missing',
    message: `upload is missing ${count} parts`,
    remedy: 'Send them, and finish the upload then.',
  });
}

export function tooManyPartialUploads(max: number): FumehoodError {
  return new FumehoodError({
    status: 429,
    code: 'too_many_partial_uploads',
    message: `${max} uploads in parts have been begun and not finished`,
    remedy: 'Finish them; one that is not finished is removed after a day.',
  });
}

/** An upload that says that it is an index of another format. */
export function notScip(): FumehoodError {
  return new FumehoodError({
    status: 400,
    code: 'index_not_scip',
    message: 'LSIF indexes are not accepted',
    remedy:
      'Send a SCIP index, with `Content-Type: application/x-protobuf+scip`, as `src code-intel upload` does.',
  });
}

export function jobOfOtherCommit(id: number): FumehoodError {
  return new FumehoodError({
    status: 400,
    code: 'job_of_other_commit',
    message: `job ${id} does not index this directory of this commit`,
    remedy: 'Leave out `-associated-index-id`, or name the job that indexes it.',
  });
}
