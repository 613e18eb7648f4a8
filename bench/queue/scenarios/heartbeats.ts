import { holdJobs } from '../contenders/fumehood.ts';
import { percentile, type Sample } from '../measure.ts';
import { sendHeartbeats, startInstanceProcess } from '../processes/start.ts';
import type { Scenario } from './scenario.ts';

const periodMs = 5_000;

/** Measures executors that each run one job and send a heartbeat every 5 s, as upstream's do, each on its own connection. */
export const heartbeats: Scenario = {
  name: 'heartbeats',
  title:
    'Executors, each with one job, that send a heartbeat every 5 s to one instance over HTTP (no peer has this)',
  lessIsBetter: true,
  async run({ server, sizes, progress, cleanup }) {
    const database = await server.database('heartbeats');
    const instance = await startInstanceProcess(cleanup, database);
    const { url, credential } = instance.ready;
    const samples: Sample[] = [];
    try {
      for (const executors of sizes.executors) {
        for (let round = 1; round <= sizes.rounds; round += 1) {
          progress(`heartbeats: ${executors} executors, round ${round} of ${sizes.rounds}`);
          const jobIds = await holdJobs(database, executors);
          const warmUpMs = 2 * periodMs;
          const sending = sendHeartbeats(cleanup, {
            url,
            credential,
            jobIds,
            periodMs,
            warmUpMs,
            measureMs: sizes.beatMs,
          });
          const before = await instance.usage();
          const started = performance.now();
          const answer = await sending;
          const after = await instance.usage();
          const cpuShare = (after.cpuMs - before.cpuMs) / (performance.now() - started);
          const seconds = sizes.beatMs / 1000;
          const figures = {
            'due/s': executors / (periodMs / 1000),
            'answered/s': answer.answered / seconds,
            'p50 ms': percentile(answer.times, 0.5),
            'p99 ms': percentile(answer.times, 0.99),
            'worst ms': percentile(answer.times, 1),
            'missed beats': answer.missed,
            'failed beats': answer.failed,
            'leases lost': answer.lost,
            'instance CPU %': cpuShare * 100,
            'instance MiB': after.residentMiB,
            'sender late ms': answer.latestMs,
          };
          for (const [metric, value] of Object.entries(figures))
            samples.push({
              scenario: 'heartbeats',
              metric,
              contender: `${executors} executors`,
              round,
              value,
            });
        }
      }
    } finally {
      await instance.stop();
    }
    return { samples, notes: new Map() };
  },
};
