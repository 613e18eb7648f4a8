import { rateScenario } from './rates.ts';

/** Measures a deep queue. */
export const million = rateScenario({
  name: 'million',
  title: 'The same with 1,000,000 queued rows and more in the queue',
  async prepare({ sizes }, contender) {
    const measured = [...sizes.jobs.values()].reduce((sum, jobs) => sum + jobs, 0);
    // More jobs than are completed, so that the queue is as deep at the end; a worker may take some more than its share.
    await contender.fill(sizes.queued + 2 * sizes.rounds * measured);
    return undefined;
  },
  supply: async () => {},
});
