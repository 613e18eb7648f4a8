/** The topics of `wake`. */

/** A job can be leased: for waiting executors. */
export const workTopic = 'queue';
/** A job has a new event: for those who follow it. */
export const jobTopic = (id: number) => `job:${id}`;
/** A job's stdin has more bytes, or has ended. */
export const inputTopic = (id: number) => `input:${id}`;
/** The state of an executor or of its jobs has changed: for its push stream. */
export const executorTopic = (name: string) => `executor:${name}`;
/** A batch spec, one of its workspaces or of their steps has changed: for those who follow it. The id is the public one. */
export const batchTopic = (spec: string) => `batch:${spec}`;
/** A batch spec waits for its workspaces to be found, or for changeset specs to be made of its results. */
export const batchWorkTopic = 'batches';
/** A changeset waits for the reconciler. */
export const reconcilerTopic = 'reconciler';
