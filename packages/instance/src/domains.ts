import type { Domains } from './instance.ts';

/** The domains beside the queue. */
export async function domains(): Promise<Domains> {
  return {
    hasCommit: async () => false,
    plugin: async () => {},
  };
}
