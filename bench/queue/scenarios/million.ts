import { rateScenario } from './rates.ts';

/** A deep queue. */
export const million = rateScenario({
  name: 'million',
  title: 'The same with 1,000,000 queued rows and more in the queue',
  async prepare({ sizes }, contender) {
    const measured = [...sizes.jobs.values()].reduce((sum, jobs) => sum + jobs, 0);
    // More than are taken out, so that it is as deep at the end; a worker may take some over its share.
    await contender.fill(sizes.queued + 2 * sizes.rounds * measured);
    return undefined;
  },
  supply: async () => {},
});
