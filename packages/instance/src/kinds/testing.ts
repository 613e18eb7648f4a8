import type { KindStores } from './stores.ts';

/** The parts of an instance that claims to have everything, and whose batch changes have no steps. */
export const everyStore: KindStores = {
  hasBlob: async () => true,
  hasCommit: async () => true,
  hasExecutorUrl: true,
  batches: {
    next: async () => ({ next: null, restore: null, skipped: [] }),
    exec: async () => ({ input: {}, files: [], skippedSteps: [], cached: null, helperImage: null }),
    executed: async () => null,
    ended: async () => {},
  },
};
