/** Topics of `wake`: what somebody may wait for. */

/** Work for executors. */
export const workTopic = 'queue';
/** What happens to a job, for those who follow it. */
export const jobTopic = (id: number) => `job:${id}`;
/** Bytes on a job's stdin. */
export const inputTopic = (id: number) => `input:${id}`;
/** What an executor has to be told: of its jobs, and of itself. */
export const executorTopic = (name: string) => `executor:${name}`;
