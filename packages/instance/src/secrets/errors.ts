import { FumehoodError } from '@fumehood/base';

/** `what` names the value, such as `the password for registry.example.com`. */
export const secretOfOtherKey = (what: string, keyId: string, ownKeyId: string) =>
  new FumehoodError({
    status: 500,
    code: 'secret_of_other_key',
    message: `${what} was encrypted with the key ${keyId}, and this instance has the key ${ownKeyId}`,
    remedy:
      'Put the former key back (run/secrets-key of the state directory, or the file of `secretsKeyFile`) and restart the instance, or set the value again.',
  });

export const secretDamaged = (what: string) =>
  new FumehoodError({
    status: 500,
    code: 'secret_damaged',
    message: `${what} cannot be decrypted: its bytes in the database were changed, cut off, or belong to another row`,
    remedy: 'Set the value again, and find out who writes to the database besides the instance.',
  });

export const secretsKeyUnusable = (file: string, why: string) =>
  new FumehoodError({
    code: 'secrets_key_unusable',
    message: `the instance cannot use ${file} as the key of its secrets: ${why}`,
    remedy:
      'Put the file back from a backup, readable by the user of the instance. A new one is 64 hexadecimal digits (`openssl rand -hex 32`); what the former key encrypted has to be set again then.',
  });
