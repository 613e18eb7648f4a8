import { FumehoodError } from '@fumehood/base';

/** The settings or arguments are wrong. Nothing was sent. */
export function settingsInvalid(message: string, remedy: string): FumehoodError {
  return new FumehoodError({ code: 'settings_invalid', message, remedy });
}

/** The index file cannot be read. */
export function fileUnreadable(file: string, why: string): FumehoodError {
  return new FumehoodError({
    code: 'file_unreadable',
    message: `the index ${file} cannot be read: ${why}`,
    remedy: 'Give the file that the indexer wrote with -file.',
  });
}

/** The instance answered without the id of an upload. */
export function uploadRefused(status: number, body: string): FumehoodError {
  const reason = reasonIn(body).slice(0, 500);
  return new FumehoodError({
    code: 'upload_refused',
    status,
    message: `the instance answered the upload with ${status}${reason && `: ${reason}`}`,
    remedy:
      status === 401 || status === 403
        ? 'Check the token: SRC_ACCESS_TOKEN, or SRC_HEADER_AUTHORIZATION.'
        : undefined,
  });
}

/** Returns the reason in the body of an answer: the message of an instance's error, or other text that is not a page. */
function reasonIn(body: string): string {
  try {
    const { error } = JSON.parse(body) as { error?: { message?: unknown } };
    if (typeof error?.message === 'string') return error.message;
  } catch {
    // It is no JSON.
  }
  return body.trimStart().startsWith('<') ? '' : body.trim();
}

/** The instance cannot be reached. */
export function instanceUnreachable(endpoint: string, why: string): FumehoodError {
  return new FumehoodError({
    code: 'instance_unreachable',
    message: `${endpoint} cannot be reached: ${why}`,
    remedy: 'Check SRC_ENDPOINT and SRC_PROXY.',
  });
}

/** The instance could not run a batch spec in all its workspaces. */
export function batchFailed(spec: string, why: string): FumehoodError {
  return new FumehoodError({
    code: 'batch_failed',
    message: `the batch spec ${spec} is not completed: ${why}`,
    remedy: `See why: \`fumehood batches status ${spec}\`.`,
  });
}

/** A file is not replaced. */
export function fileExists(file: string, why: string): FumehoodError {
  return new FumehoodError({
    code: 'file_exists',
    message: `${file} cannot be written: ${why}`,
    remedy: 'Give another file with -f; one that is there is not replaced.',
  });
}
