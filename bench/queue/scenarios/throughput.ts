import { rateScenario } from './rates.ts';

/** Measures an otherwise empty queue: jobs are stored one by one, then leased and completed one by one. */
export const throughput = rateScenario({
  name: 'throughput',
  title: 'Durable enqueue, then lease and complete, per second, by clients or workers at once',
  async supply(contender, jobs, workers, note) {
    const start = performance.now();
    await contender.enqueue(jobs, workers);
    note(`enqueue/s, ${workers} c.`, (jobs / (performance.now() - start)) * 1000);
  },
});
