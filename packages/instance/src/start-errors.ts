import { FumehoodError } from '@fumehood/base';

// Errors that keep the instance from starting.

/** `file`: the certificate or the key, whichever is at fault. */
export const tlsUnusable = (file: string, why: string) =>
  new FumehoodError({
    code: 'tls_unusable',
    message: `the instance cannot use ${file} for TLS: ${why}`,
    remedy: 'Name a certificate and its key, both in PEM format and readable by the user of the instance.',
  });

export const listenFailed = (address: string, port: number, why: string) =>
  new FumehoodError({
    code: 'listen_failed',
    message: `the instance cannot listen on ${address}, port ${port}: ${why}`,
    remedy: 'Choose an address of this machine and a free port, from 1024 on: the instance is not root.',
  });

export const sharedUnusable = (directory: string, why: string) =>
  new FumehoodError({
    code: 'shared_unusable',
    message: `the directory ${directory}, which \`shared\` in settings.json names, cannot be used: ${why}`,
    remedy:
      'Make it, owned by the user `fumehood` and writable for nobody else, on a disk that all replicas have.',
  });

export const instanceFailed = (how: string) =>
  new FumehoodError({
    code: 'instance_failed',
    message: `the instance ended with ${how} before it listened`,
    remedy: "Read the instance's log, which says why.",
  });

export const postgresMissing = () =>
  new FumehoodError({
    code: 'postgres_missing',
    message: 'no PostgreSQL 15 or newer is installed on this machine',
    remedy:
      'Install it (Debian: apt-get install postgresql), or set `databaseUrl` in settings.json to a database.',
  });

export const databaseVersion = (directory: string, needed: string) =>
  new FumehoodError({
    code: 'database_version',
    message: `the data in ${directory} were written by PostgreSQL ${needed}, which is not installed on this machine`,
    remedy: `Install PostgreSQL ${needed} (Debian: apt-get install postgresql-${needed}).`,
  });

export const databaseInUse = (directory: string, pid: number) =>
  new FumehoodError({
    code: 'database_in_use',
    message: `the database in ${directory} is in use by another run (PostgreSQL with pid ${pid})`,
    remedy: 'Stop that run first (`fumehood down`), or choose another directory with FUMEHOOD_STATE.',
  });

export const databaseFailed = (what: string, why: string) =>
  new FumehoodError({
    code: 'database_failed',
    message: `${what} failed: ${why}`,
    remedy:
      "PostgreSQL's own lines in the log, before this error, say more. Remove the cause, such as a full disk or a directory that the database's user cannot reach, and start again: the data stay as they are.",
  });

export const socketPathTooLong = (path: string) =>
  new FumehoodError({
    code: 'path_too_long',
    message: `${path} is too long for a unix socket (107 bytes)`,
    remedy: 'Choose a state directory with a shorter path (FUMEHOOD_STATE).',
  });

export const migrationFailed = (name: string, why: string, cause: unknown) =>
  new FumehoodError({
    code: 'migration_failed',
    message: `the database migration ${name} failed: ${why}`,
    remedy: 'Fix what PostgreSQL reports above, and start again: the migration was rolled back.',
    cause,
  });

export const databaseNewer = (database: string, binary: string) =>
  new FumehoodError({
    code: 'database_newer',
    message: `the database is at migration ${database}, but this version of Fumehood knows only those up to ${binary}`,
    remedy: 'Use the version of Fumehood that last used this database, or a newer one.',
  });

export const userFailed = (name: string, why: string) =>
  new FumehoodError({
    code: 'user_failed',
    message: `the user ${name} could not be created: ${why}`,
    remedy: `Create the user: useradd --system --user-group --no-create-home --shell /usr/sbin/nologin ${name}`,
  });
