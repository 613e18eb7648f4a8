import { FumehoodError } from '@fumehood/base';

export function uploadNotFound(id: number): FumehoodError {
  return new FumehoodError({
    status: 404,
    code: 'upload_not_found',
    message: `there is no upload ${id}`,
    remedy:
      "Look at `uploadId` of the job's record; a later upload of the same commit takes an earlier one's place.",
  });
}

export function noExample(id: number): FumehoodError {
  return new FumehoodError({
    status: 404,
    code: 'no_example',
    message: `nothing in upload ${id} refers to something that is defined in it`,
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
    remedy: 'Index a part of the repository: give the job a `root`.',
  });
}
