/** The parts of the instance that a kind needs to create a job. */
export interface KindStores {
  readonly hasBlob: (digest: string) => Promise<boolean>;
  readonly hasCommit: (repository: string, commit: string) => Promise<boolean>;
  /** Whether the configuration has an address of this instance for executors of upstream's kind, which their uploads need. */
  readonly hasExecutorUrl: boolean;
}
