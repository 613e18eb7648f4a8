import { FumehoodError } from '@fumehood/base';

export const specUnreadable = (path: string, why: string) =>
  new FumehoodError({
    code: 'batch_spec_unreadable',
    message: `the batch spec ${path} cannot be read: ${why}`,
    remedy: 'Give its file with --file, or make one: `fumehood batches new NAME`.',
  });

export const mountUnusable = (path: string, why: string) =>
  new FumehoodError({
    code: 'mount_unusable',
    message: `a step mounts ${path}, which cannot be sent: ${why}`,
    remedy: 'Mount files and directories below the directory of the batch spec.',
  });
