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
  const reason = body.trimStart().startsWith('<') ? '' : body.trim().slice(0, 500);
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

/** The instance cannot be reached. */
export function instanceUnreachable(endpoint: string, why: string): FumehoodError {
  return new FumehoodError({
    code: 'instance_unreachable',
    message: `${endpoint} cannot be reached: ${why}`,
    remedy: 'Check SRC_ENDPOINT and SRC_PROXY.',
  });
}
