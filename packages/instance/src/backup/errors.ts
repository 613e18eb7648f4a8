import { FumehoodError } from '@fumehood/base';

/** The file is no backup, or not as it was written. */
export const backupInvalid = (why: string) =>
  new FumehoodError({
    code: 'backup_invalid',
    message: `this is not a whole backup: ${why}`,
    remedy: 'Nothing was changed. Take another copy of the file, or another backup.',
  });

export const backupNewer = (migration: string, version: string) =>
  new FumehoodError({
    code: 'backup_newer',
    message: `this backup was made by Fumehood ${version}, whose database has the migration ${migration}, which this version does not know`,
    remedy: `Nothing was changed. Restore it with Fumehood ${version} or a newer version.`,
  });

/** `what`: what the database holds. */
export const targetNotEmpty = (what: string) =>
  new FumehoodError({
    code: 'restore_not_empty',
    message: `the database of this instance is in use: it has ${what}`,
    remedy:
      'Nothing was changed. Restore into an empty database, or another state directory (FUMEHOOD_STATE).',
  });

/** The store holds a file that is not what its name says. */
export const blobDamaged = (path: string) =>
  new FumehoodError({
    code: 'blob_damaged',
    message: `${path} does not have the digest that is its name`,
    remedy: 'The disk may be damaged. Remove the file, send the image again, and make the backup again.',
  });
