import { chownSync, renameSync, writeFileSync } from 'node:fs';
import { agentIdentity } from '../up/identities.ts';

/** Writes a secret to a file that only root and the agent can read, in place of an older one. */
export function storeSecret(file: string, root: boolean, text: string): void {
  writeFileSync(`${file}.new`, text, { mode: 0o600 });
  if (root) chownSync(`${file}.new`, agentIdentity.uid, agentIdentity.gid);
  renameSync(`${file}.new`, file);
}
