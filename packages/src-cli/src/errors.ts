import { FumehoodError } from '@fumehood/base';

/** Wrong settings or arguments: nothing was sent. */
export function settingsInvalid(message: string, remedy: string): FumehoodError {
  return new FumehoodError({ code: 'settings_invalid', message, remedy });
}

export function fileUnreadable(file: string, why: string): FumehoodError {
  return new FumehoodError({
    code: 'file_unreadable',
    message: `the index ${file} cannot be read: ${why}`,
    remedy: 'Name the file that the indexer wrote with -file.',
  });
}

/** The instance answered, and not with an upload's id. */
export function uploadRefused(status: number, body: string): FumehoodError {
  const said = body.trimStart().startsWith('<') ? '' : body.trim().slice(0, 500);
  return new FumehoodError({
    code: 'upload_refused',
    status,
    message: `the upload was answered with ${status}${said && `: ${said}`}`,
    remedy:
      status === 401 || status === 403
        ? 'Check the token: SRC_ACCESS_TOKEN, or SRC_HEADER_AUTHORIZATION.'
        : undefined,
  });
}

export function instanceUnreachable(endpoint: string, why: string): FumehoodError {
  return new FumehoodError({
    code: 'instance_unreachable',
    message: `${endpoint} cannot be reached: ${why}`,
    remedy: 'Check SRC_ENDPOINT and SRC_PROXY.',
  });
}
