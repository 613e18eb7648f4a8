import type { JobRecord } from '@fumehood/protocol';

/** Returns a job's state as a word for people: a job that is being canceled is still processing. */
export function jobState({ state, cancelRequested }: JobRecord): string {
  return cancelRequested && state === 'processing' ? 'processing (canceling)' : state;
}
