/** The topics of `wake`. */

/** A job can be leased: for waiting executors. */
export const workTopic = 'queue';
/** A job has a new event: for those who follow it. */
export const jobTopic = (id: number) => `job:${id}`;
/** A job's stdin has more bytes, or has ended. */
export const inputTopic = (id: number) => `input:${id}`;
/** The state of an executor or of its jobs has changed: for its push stream. */
export const executorTopic = (name: string) => `executor:${name}`;
