/** The user and group ids that a process gets. */
export interface Identity {
  readonly uid: number;
  readonly gid: number;
}

/**
 * Returns the arguments with which setpriv starts a program as this identity, without supplementary groups and capabilities, and
 * without a way to gain any. Null: as the user of this process.
 */
export function identityFlags(identity: Identity | null): string[] {
  if (identity === null) return ['--no-new-privs'];
  return [
    '--no-new-privs',
    `--reuid=${identity.uid}`,
    `--regid=${identity.gid}`,
    '--clear-groups',
    '--inh-caps=-all',
    '--bounding-set=-all',
  ];
}
