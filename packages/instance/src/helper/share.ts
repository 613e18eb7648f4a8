import { randomUUID } from 'node:crypto';
import { chownSync, existsSync, linkSync, readFileSync, unlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type Identity, ownedDirectory } from '@fumehood/base';
import { syncNow } from '../durable.ts';
import type { HelperConfig } from './config.ts';
import { ensureSecret, ensureSecretsKey, writeAtomically } from './secrets.ts';

/**
 * Has the replicas with the directory `shared` use the same first secrets and the same key: those of the replica that was started first.
 * `instance`: the user of the instance, if that is not the one of this process.
 */
export function shareSecrets(
  { state, executor, secretsKeyFile }: Pick<HelperConfig, 'state' | 'executor' | 'secretsKeyFile'>,
  shared: string,
  instance: Identity | null,
): void {
  const secrets = ownedDirectory(join(shared, 'secrets'), 0o700, null);
  const share = (
    name: string,
    owner: Identity | null,
    ensure: (file: string, owner: Identity | null) => void,
  ) => {
    const file = join(state, 'run', name);
    ensure(file, owner);
    shareFile(file, owner, join(secrets, name));
  };
  share('token', null, ensureSecret);
  share('executor-credential', executor, ensureSecret);
  if (secretsKeyFile === null) share('secrets-key', instance, ensureSecretsKey);
}

/**
 * Makes the file the shared one if there is none yet; otherwise it gets the content of the shared one. Only its owner can read it; owner
 * null: the user of this process.
 */
export function shareFile(file: string, owner: Identity | null, shared: string): void {
  const own = readFileSync(file, 'utf8');
  if (!existsSync(shared)) {
    const staged = `${shared}.${randomUUID()}`;
    writeAtomically(staged, own, 0o600);
    linkOnce(staged, shared);
  }
  const common = readFileSync(shared, 'utf8');
  if (own === common) return;
  writeAtomically(file, common, 0o600);
  if (owner) chownSync(file, owner.uid, owner.gid);
}

/** Gives a file its name, unless another process was faster. */
function linkOnce(staged: string, name: string): void {
  try {
    linkSync(staged, name);
    syncNow(dirname(name));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    unlinkSync(staged);
  }
}
